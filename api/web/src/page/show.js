// SPDX-License-Identifier: GPL-3.0-or-later
// Shows a verdict: first what a shopper needs, in one line; then the chain, link by link; then the diary and what
// is not proven. What an inspector looks for is folded below. Nothing is shown of what is not proven.

import { heading, rows } from '../words/labels.js';
import { text } from '../words/page.js';
import {
  ADVICE, MAX_DETAILED_RECORDS, WORDS, fill, generalNotes, headline, inOrder, latest, log, moment, printable, remarks, sentences, writer,
} from '../words/verdict.js';
import { el } from './dom.js';

/** @typedef {import('../words/verdict.js').Language} Language */
/** @typedef {import('../words/verdict.js').Verdict} Verdict */
/** @typedef {import('../words/verdict.js').ProvenRecord} ProvenRecord */
/** @typedef {import('../words/verdict.js').Step} Step */
/** Where evidence came from: a file's name, or a page's host. @typedef {{file: string} | {host: string}} Source */
/**
 * @typedef {{source: Source, evidence: Uint8Array, verdict: Verdict, compared: boolean}} Checked
 * @typedef {{compare: (code: string) => void, scan: () => void}} Actions
 */

/**
 * The links of the chain, and the steps of the verifier (their numbers) that prove each.
 * @type {[string, number[]][]}
 */
const LINKS = [
  ['record', [0, 1]],
  ['batch', [2]],
  ['log', [3]],
  ['anchor', [4]],
  ['finality', [5, 6]],
  ['code', [7]],
];
const MAX_SHOWN = 100;
// Those that a document says are bad news; all other failures leave the question open.
const BAD = ['invalid', 'mismatch'];

/**
 * Return the key of the line that a shopper reads first; its first word is the tone: good, some or bad.
 * @param {Verdict} verdict
 * @returns {string}
 */
export function outcome(verdict) {
  const { proven, failure, records, assurance } = verdict;
  if (!proven) return `${isBad(verdict) ? 'bad' : 'some'}-${failure?.kind ?? 'malformed'}`;
  const own = records.filter((one) => one.statement !== 'third-party');
  if (!own.length) return 'some-others';
  if (own.every((one) => one.mode === 'practice')) return 'some-practice';
  return assurance === 'consortium' ? 'good-consortium' : `some-${sureness(verdict)}`;
}

/**
 * Return the card of one verdict.
 * @param {Checked} checked
 * @param {Language} language
 * @param {Actions} actions
 * @returns {HTMLElement}
 */
export function card(checked, language, actions) {
  const { source, verdict } = checked;
  const key = outcome(verdict);
  const say = /** @param {string} name @param {Record<string, unknown>} [values] */ (name, values) => text(language, name, values);
  const from = 'file' in source ? say('from-file', { name: printable(source.file) }) : say('from-host', source);
  return el(
    'article',
    { class: `hero verdict ${key.split('-')[0]}` },
    el('p', { class: 'kicker' }, [verdict.expect_code, from].filter(Boolean).join(' · ')),
    el('h2', { tabindex: '-1' }, say(key)),
    el('p', { class: 'lead' }, sentence(headline(verdict, language))),
    advice(verdict, language).map((one) => el('p', {}, one)),
    banners(verdict, language),
    verdict.proven && !verdict.expect_code ? comparing(language, actions) : null,
    el('h3', {}, say('chain')),
    el('ol', { class: 'chain' }, LINKS.map(([name, steps]) => link(name, steps, verdict, language))),
    unproven(verdict, language),
    verdict.proven ? diary(verdict, language) : el('p', { class: 'quiet' }, say('not-shown')),
    trustLine(checked, language),
    inspector(checked, language),
  );
}

/**
 * Return the card that names a stranger's page, from which nothing was fetched.
 * @param {string} host
 * @param {Language} language
 * @returns {HTMLElement}
 */
export function strangerCard(host, language) {
  return el(
    'article',
    { class: 'hero verdict bad' },
    el('h2', { tabindex: '-1' }, text(language, 'stranger', { host: printable(host) })),
    el('p', { class: 'lead' }, text(language, 'stranger-text')),
    el('p', {}, text(language, 'stranger-advice')),
  );
}

/**
 * @param {Verdict} verdict
 * @param {Language} language
 */
function advice(verdict, language) {
  if (verdict.failure) return [ADVICE[language][verdict.failure.kind]];
  return [WORDS[language][`${verdict.assurance}-why`], ...generalNotes(verdict, language)].filter(Boolean);
}

/**
 * @param {Verdict} verdict
 * @param {Language} language
 */
function banners(verdict, language) {
  const practice = verdict.records.some((one) => one.mode === 'practice');
  return practice ? el('p', { class: 'banner', role: 'note' }, text(language, 'practice-text')) : null;
}

/**
 * The way to compare a file that came without a label with the one at hand.
 * @param {Language} language
 * @param {Actions} actions
 */
function comparing(language, actions) {
  const input = el('input', { required: true, maxlength: '2048', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', id: 'label-code' });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    actions.compare(input.value);
  };
  return el(
    'form',
    { class: 'compare', onsubmit: submit },
    el('label', { for: 'label-code' }, text(language, 'compare-label')),
    el('div', { class: 'find' }, input, el('button', { class: 'button plain' }, text(language, 'compare')),
      el('button', { class: 'button plain', type: 'button', onclick: actions.scan }, text(language, 'scan-label'))),
  );
}

/**
 * One link of the chain: whether it holds, in words, and the verifier's own steps folded below.
 * @param {string} name
 * @param {number[]} numbers
 * @param {Verdict} verdict
 * @param {Language} language
 */
function link(name, numbers, verdict, language) {
  const steps = verdict.steps.filter((one) => numbers.includes(one.number));
  const found = steps.find((one) => one.state !== 'ok')?.state ?? 'ok';
  // What leads nowhere from this device's trust file, or can't be read here, is not thereby false.
  const doubtful = found === 'failed' ? !isBad(verdict) : name === 'finality' && verdict.assurance === 'past-era';
  const state = doubtful ? 'open' : found;
  const told = found === 'ok' ? holds(name, verdict, language) : broken(name, found, steps, verdict, language);
  const more = [...steps.map((one) => `${one.key}: ${text(language, one.state)}`), ...details(name, verdict, language)];
  return el(
    'li',
    { class: state },
    el('p', {}, el('b', {}, text(language, `link-${name}`)), ' ', el('span', { class: 'tag' }, text(language, state))),
    told && el('p', {}, told),
    state !== 'skipped' && el('details', {}, el('summary', {}, text(language, 'step', { number: numbers.join(', ') })),
      el('ul', { class: 'steps' }, more.map((one) => el('li', {}, el('code', {}, one))))),
  );
}

/**
 * @param {string} name
 * @param {Verdict} verdict
 * @param {Language} language
 */
function holds(name, verdict, language) {
  // A verdict that fails at a later link tells nothing of the earlier ones but that they hold.
  if (!verdict.proven) return '';
  const { records } = verdict;
  const own = records.filter((one) => one.statement !== 'third-party');
  const weakest = records.find((one) => one.assurance === verdict.assurance) ?? records[0];
  if (name === 'record') return text(language, records.length === 1 ? 'proven-one-record' : 'proven-record', { n: records.length });
  if (name === 'batch') return writers(own.length ? own : records, language);
  if (name === 'log') return text(language, 'proven-log', { who: list(records.map((one) => printable(one.province) || one.log)) });
  if (name === 'finality') {
    return text(language, `proven-${sureness(verdict)}`, { when: moment(latest(verdict), language, true), validators: weakest.validators });
  }
  return text(language, `proven-${name}`, { code: verdict.expect_code });
}

/**
 * @param {string} name
 * @param {'failed'|'skipped'} state
 * @param {Step[]} steps
 * @param {Verdict} verdict
 * @param {Language} language
 */
function broken(name, state, steps, verdict, language) {
  if (state === 'skipped') return verdict.proven ? text(language, 'no-label') : '';
  const key = steps[0].number === 0 && steps[0].state === 'failed' ? 'failed-read' : `failed-${name}`;
  return text(language, key, { code: verdict.expect_code });
}

/**
 * @param {ProvenRecord[]} records
 * @param {Language} language
 */
function writers(records, language) {
  const by = (/** @type {string} */ custody) => list(records.filter((one) => one.custody === custody).map((one) => named(one, language)));
  const [holder, operator] = [by('holder'), by('operator')];
  return [holder && text(language, 'proven-batch', { who: holder }), operator && text(language, 'proven-batch-operator', { who: operator })]
    .filter(Boolean).join(' ');
}

/**
 * @param {ProvenRecord} one
 * @param {Language} language
 */
function named(one, language) {
  return printable(one.issuer_name) || fill(WORDS[language].unnamed, { id: one.issuer.split('/').pop() });
}

/**
 * What an inspector compares with other tools, as the verifier has it.
 * @param {string} name
 * @param {Verdict} verdict
 * @param {Language} language
 * @returns {string[]}
 */
function details(name, verdict, language) {
  const { records, failure } = verdict;
  const failed = LINKS.find(([, numbers]) => failure && numbers.includes(failure.step))?.[0] === name;
  const said = failed ? [fill(WORDS[language].detail, { number: failure?.step, detail: failure?.detail })] : [];
  if (name === 'record') return [...said, ...records.slice(0, MAX_SHOWN).map((one) => `${one.id} SHA-256 ${one.leaf}`)];
  if (name === 'batch') return [...said, ...unique(records.map((one) => `${one.issuer} ${one.custody}`))];
  if (name === 'log') return [...said, ...unique(records.map((one) => one.log))];
  if (name === 'finality') return [...said, ...unique(records.map((one) => `${one.assurance} ${one.validators} ${iso(one.when)}`))];
  return said;
}

/**
 * @param {Verdict} verdict
 * @param {Language} language
 */
function diary(verdict, language) {
  const [own, others] = [inOrder(verdict, false), inOrder(verdict, true)];
  const entries = (/** @type {number[]} */ indexes) => indexes.slice(0, MAX_SHOWN).map((index) => entry(verdict, index, language));
  const more = (/** @type {number[]} */ indexes) => indexes.length > MAX_SHOWN && el('p', {}, text(language, 'more', { n: indexes.length - MAX_SHOWN }));
  return [
    el('h3', {}, text(language, 'diary')),
    own.length
      ? [el('p', { class: 'quiet' }, text(language, 'diary-note')), el('ol', { class: 'timeline' }, entries(own)), more(own)]
      : el('p', {}, text(language, 'only-others')),
    others.length
      ? el('div', { class: 'others' }, el('h3', {}, text(language, 'others')), el('p', { class: 'quiet' }, text(language, 'others-note')),
        el('ul', { class: 'timeline' }, entries(others)), more(others))
      : null,
  ];
}

/**
 * @param {Verdict} verdict
 * @param {number} index
 * @param {Language} language
 */
function entry(verdict, index, language) {
  const one = verdict.records[index];
  const replaced = one.superseded_by.length > 0;
  const folded = replaced || verdict.records.length > MAX_DETAILED_RECORDS;
  const product = typeof one.fields['moneo:product'] === 'string' ? printable(one.fields['moneo:product']) : '';
  const content = [
    el('dl', {}, rows(one.fields, language).map(([label, value]) => el('div', {}, el('dt', {}, label), el('dd', {}, value)))),
    one.hidden.length ? el('p', { class: 'quiet' }, text(language, 'hidden', { names: one.hidden.join(', ') })) : null,
  ];
  return el(
    'li',
    { class: `step${one.level === 'linked' ? ' upstream' : ''}${replaced ? ' superseded' : ''}` },
    el('div', { class: 'head' },
      el('h4', {}, el('span', {}, heading(one, language)), one.mode === 'practice' && [' ', el('span', { class: 'tag' }, text(language, 'practice'))]),
      one.event_time === null ? null : el('time', { datetime: iso(one.event_time) }, moment(one.event_time, language))),
    product && el('p', { class: 'what' }, product),
    folded
      ? el('details', {}, el('summary', {}, text(language, replaced ? 'replaced' : 'fields')), content)
      : content,
    el('p', { class: 'signed' }, [writer(one, language), ...remarks(verdict, index, language)].join('; ')),
  );
}

/**
 * @param {Verdict} verdict
 * @param {Language} language
 */
function unproven(verdict, language) {
  return verdict.proven && el('div', { class: 'columns' }, el('div', { class: 'no' }, el('h3', {}, text(language, 'unproven')),
    el('ul', {}, verdict.not_proven.map((key) => el('li', {}, text(language, `unproven-${key}`))))));
}

/**
 * @param {Checked} checked
 * @param {Language} language
 */
function trustLine({ verdict, compared }, language) {
  return el('p', { class: 'quiet' }, `${text(language, 'by-trust')} `, el('code', {}, verdict.fingerprint),
    ` (${text(language, compared ? 'compared' : 'not-compared')})`);
}

/**
 * @param {Checked} checked
 * @param {Language} language
 */
function inspector({ source, evidence, verdict }, language) {
  const name = 'file' in source ? source.file : `${(verdict.expect_code ?? 'moneo').replace(/[^A-Za-z0-9._-]+/g, '_').replace(/^_/, '')}.evidence.json`;
  return el('details', {}, el('summary', {}, text(language, 'inspector')),
    el('p', { class: 'quiet' }, text(language, 'as-text')),
    el('pre', { tabindex: '0' }, sentences(verdict, language).join('\n')),
    verdict.proven && unique(verdict.records.map((one) => log(one, language))).map((one) => el('p', { class: 'quiet' }, one)),
    el('p', { class: 'actions' }, saver(evidence, name, text(language, 'save'))));
}

/**
 * Return a button that saves bytes as a file.
 * @param {Uint8Array} bytes
 * @param {string} name
 * @param {string} label
 * @returns {HTMLElement}
 */
export function saver(bytes, name, label) {
  return el('button', { class: 'button plain', type: 'button', onclick: () => {
    const href = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (bytes)], { type: 'application/json' }));
    el('a', { href, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  } }, label);
}

/** @param {Verdict} verdict */
function isBad({ failure }) {
  return failure !== null && BAD.includes(failure.kind);
}

/** @param {Verdict} verdict */
function sureness({ assurance, records }) {
  const decides = assurance === 'one-validator' && records.some((one) => one.assurance === assurance && one.validators > 1);
  return decides ? 'one-decides' : assurance;
}

/** @param {string} line */
function sentence(line) {
  return line.charAt(0).toUpperCase() + line.slice(1);
}

/** @param {string[]} texts */
function list(texts) {
  return unique(texts).join(', ');
}

/** @param {string[]} texts */
function unique(texts) {
  return [...new Set(texts)];
}

/** @param {number} seconds */
function iso(seconds) {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? String(seconds) : date.toISOString().replace('.000', '');
}
