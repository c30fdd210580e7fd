// SPDX-License-Identifier: GPL-3.0-or-later
// Drives the JavaScript verifier from another program: `node judge.mjs FOLDER`, the folder that holds its index.js.
//
// In: a JSON object a line, {"evidence": base64, "trust": base64, "code": text or null, "now": number or null}.
// Out, a line for each, in order: {"verdict": {…}}, {"error": "TrustError" | "CodeError", "detail": text}, or, for
// anything else that is thrown and never should be, {"crash": text}.

import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const { verify } = await import(pathToFileURL(resolve(process.argv[2], 'index.js')).href);
const EXPECTED = ['TrustError', 'CodeError'];

/** @param {string} line */
async function judged(line) {
  const { evidence, trust, code, now } = JSON.parse(line);
  const bytes = (/** @type {string} */ text) => new Uint8Array(Buffer.from(text, 'base64'));
  try {
    return { verdict: await verify(bytes(evidence), bytes(trust), { code, now }) };
  } catch (error) {
    return EXPECTED.includes(error?.name) ? { error: error.name, detail: error.message } : { crash: String(error?.stack ?? error) };
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  process.stdout.write(`${JSON.stringify(await judged(line))}\n`);
}
