// SPDX-License-Identifier: GPL-3.0-or-later
// Says what the pages of a browser say of verdicts: node words.mjs FOLDER-OF-API/WEB/SRC, one JSON line in and out.
// In: {"verdict", "language"}; out: {"text", "headline", "rows": [[label, value], …] and "heading" of each record}.
// An empty line asks for the tables: {"words", "texts", "labels"}.

import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const from = (/** @type {string} */ name) => import(new URL(name, `${pathToFileURL(process.argv[2])}/`).href);
const [words, page, labels] = await Promise.all(['words/verdict.js', 'words/page.js', 'words/labels.js'].map(from));

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(line ? said(JSON.parse(line)) : { words: [words.WORDS, words.KINDS, words.ADVICE, words.STEPS], texts: page.TEXTS, labels }));
}

/** @param {{verdict: any, language: 'vi'|'en'}} asked */
function said({ verdict, language }) {
  return {
    text: words.sentences(verdict, language).join('\n'),
    headline: words.headline(verdict, language),
    records: verdict.records.map((/** @type {any} */ one) => [labels.heading(one, language), labels.rows(one.fields, language)]),
  };
}
