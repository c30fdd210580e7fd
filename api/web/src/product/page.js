// SPDX-License-Identifier: GPL-3.0-or-later
// Says on a product's page what of it is proven: marks every step, and speaks beside the province's own statement.

import { NotHad } from '../page/fetching.js';
import { byId, el } from '../page/dom.js';
import { openTrust } from '../verifier/index.js';
import { PRODUCT } from '../words/product.js';
import { fill, headline, KINDS, moment } from '../words/verdict.js';
import { check } from './check.js';

/** @typedef {import('./check.js').Shown} Shown */
/** @typedef {import('./check.js').Mark} Mark */
/** @typedef {import('./check.js').Found} Found */
/** @typedef {import('./check.js').Asked} Asked */
/** @typedef {import('../words/verdict.js').Verdict} Verdict */
/** @typedef {'good'|'some'|'bad'} Tone how far one may rely on it */
/** @typedef {{tone: Tone, title: string, lines: string[]}} Said */

const MAX_PAGES = 8;
// From the weakest.
const ASSURANCES = ['past-era', 'one-validator', 'consortium'];
// What makes evidence wrong; all other failures leave it open.
const WRONG = new Set(['malformed', 'too-large', 'invalid', 'mismatch']);

const language = document.documentElement.lang === 'en' ? 'en' : 'vi';
const words = PRODUCT[language];
const box = byId('proof', HTMLElement);
const [code, base] = [box.dataset.code ?? '', box.dataset.base ?? location.origin];
const items = [...document.querySelectorAll('li[data-record]')].filter((it) => it instanceof HTMLElement);

/** @type {Shown[]} */
const shown = items.map(({ dataset }) => ({
  id: dataset.record ?? '',
  code: dataset.code ?? '',
  other: 'other' in dataset,
  anchored: 'anchored' in dataset,
}));

/**
 * Check and show: first the verdict, then where else it can be had.
 * @param {() => Asked} ask
 */
export async function run(ask) {
  show('some', words.checking, [], null);
  try {
    const found = await check(code, shown, language, ask());
    for (const [place, one] of shown.entries()) pin(items[place], found.marks.get(one.id) ?? { key: 'unchecked' });
    const { tone, title, lines } = told(found);
    show(tone, title, [...lines, found.trust.pinned ? words.pinned : words.unpinned]);
    box.append(...elsewhere((await openTrust(found.trust.bytes)).members));
  } catch (error) {
    const why = error instanceof NotHad ? fill(words[error.key], { said: error.said }) : words.failed;
    const again = el('button', { class: 'button plain', type: 'button', onclick: () => run(ask) }, words['try-again']);
    show('some', words['not-had'], [why], [again]);
    if (!(error instanceof NotHad)) throw error;
  }
}

/**
 * Say what was found of the journey; what others say counts for nothing in it.
 * @param {Found} found
 * @returns {Said}
 */
function told(found) {
  const steps = shown.filter((one) => !one.other);
  const others = shown.length - steps.length;
  const more = others ? [fill(words.others, { n: others })] : [];
  if (!steps.length) return { tone: 'some', title: words['only-others'], lines: more };
  const { tone, title, lines } = found.verdict?.proven ? whole(found.verdict, found, steps) : inParts(found, steps);
  return { tone, title, lines: [...lines, ...more] };
}

/**
 * The journey's file holds: every step of the page has to be in it.
 * @param {Verdict} verdict
 * @param {Found} found
 * @param {Shown[]} steps
 * @returns {Said}
 */
function whole(verdict, found, steps) {
  const records = verdict.records.filter((one) => one.statement !== 'third-party');
  const proven = count(found, steps, 'proven');
  const values = { n: proven, of: steps.length };
  if (proven < steps.length) return { tone: 'bad', title: fill(words.some, values), lines: [] };
  const assurance = ASSURANCES.find((it) => records.some((one) => one.assurance === it)) ?? null;
  const extra = verdict.records.filter((one) => !found.marks.has(one.id)).length;
  return {
    tone: assurance === 'consortium' ? 'good' : 'some',
    title: fill(words[steps.length === 1 ? 'proven-one' : 'proven'], values),
    lines: [headline({ ...verdict, records, assurance }, language), ...(extra ? [fill(words.extra, { n: extra })] : [])],
  };
}

/**
 * There is no file of the journey, or it does not hold: what each step's own evidence proves.
 * @param {Found} found
 * @param {Shown[]} steps
 * @returns {Said}
 */
function inParts(found, steps) {
  const parts = fill(words.parts, { n: count(found, steps, 'proven'), of: steps.length });
  const failed = found.verdict ?? failure(found, steps);
  if (failed) {
    const tone = WRONG.has(failed.failure?.kind ?? '') ? 'bad' : 'some';
    return { tone, title: words.none, lines: [headline(failed, language), parts] };
  }
  if (found.refusal) return { tone: 'some', title: words['not-had'], lines: [fill(words.refused, { said: found.refusal }), parts] };
  return { tone: 'some', title: words.waiting, lines: [words['waiting-text'], parts] };
}

/**
 * @param {Found} found
 * @param {Shown[]} steps
 * @param {Mark['key']} key
 */
function count(found, steps, key) {
  return steps.filter((one) => found.marks.get(one.id)?.key === key).length;
}

/**
 * Return the verdict on the first step whose own evidence does not hold.
 * @param {Found} found
 * @param {Shown[]} steps
 * @returns {Verdict|null}
 */
function failure(found, steps) {
  const marks = steps.map((one) => found.marks.get(one.id));
  return marks.flatMap((it) => (it?.key === 'failed' ? [it.verdict] : []))[0] ?? null;
}

/**
 * Fill the box beside the province's statement.
 * @param {Tone} tone
 * @param {string} title
 * @param {string[]} lines
 * @param {HTMLElement[]|null} [actions] what one can do besides; null while it checks
 */
function show(tone, title, lines, actions = []) {
  box.hidden = false;
  box.className = `proof ${tone}`;
  box.setAttribute('aria-busy', String(!actions));
  const said = lines.map((line) => el('p', {}, line));
  box.replaceChildren(el('h2', {}, words.title), el('p', { class: 'outcome', role: 'status' }, title), ...said);
  if (!actions) return;
  const details = el('a', { class: 'button plain', href: `/verify?lang=${language}#code=${encodeURIComponent(code)}` }, words.details);
  box.append(el('p', { class: 'actions' }, ...actions, details));
}

/**
 * Mark a step with what was found of it.
 * @param {HTMLElement} item
 * @param {Mark} mark
 */
function pin(item, mark) {
  item.querySelector('.mark')?.remove();
  const when = 'record' in mark ? moment(mark.record.when, language, true) : '';
  const why = mark.key === 'failed' ? KINDS[language][mark.verdict.failure?.kind ?? 'malformed'] : '';
  item.querySelector('.foot')?.before(el('p', { class: `mark ${mark.key}` }, fill(words[`step-${mark.key}`], { when, why })));
}

/**
 * Where another member's page checks the same: a page that does not come from this province.
 * @param {readonly {hosts: readonly string[]}[]} members those of the trust file
 * @returns {HTMLElement[]}
 */
function elsewhere(members) {
  const own = [location.host, new URL(base).host];
  const others = members.filter((one) => !one.hosts.some((it) => own.includes(it))).flatMap((one) => one.hosts).slice(0, MAX_PAGES);
  if (!others.length) return [el('p', { class: 'quiet' }, words['no-others'])];
  const here = encodeURIComponent(base + code);
  const links = others.map((it) => el('li', {}, el('a', { href: `https://${it}/verify?lang=${language}#code=${here}` }, it)));
  return [el('p', { class: 'quiet' }, words['why-others'], ' ', words['others-pages']), el('ul', { class: 'links' }, ...links)];
}
