// SPDX-License-Identifier: GPL-3.0-or-later
// Finds out which of the records that a product's page shows are proven: by the evidence of the whole journey,
// and where that is not to be had or does not hold, by the evidence of each record, so that a person sees which.

import { ask, NotHad } from '../page/fetching.js';
import { pinned } from '../page/pinned.js';
import { replaces, verify } from '../verifier/index.js';

/** @typedef {import('../words/verdict.js').Verdict} Verdict */
/** @typedef {import('../words/verdict.js').ProvenRecord} ProvenRecord */
/** @typedef {import('../words/verdict.js').Language} Language */
/**
 * A record on the page: the code it was found for, and whether the page takes it for another's word.
 * @typedef {{id: string, code: string, other: boolean, anchored: boolean}} Shown
 */
/**
 * What becomes of one: another's word among the owner's is a stranger's.
 * @typedef {{key: 'proven'|'other'|'stranger', record: ProvenRecord} | {key: 'failed', verdict: Verdict}
 *   | {key: 'missing'|'waiting'|'unchecked'}} Mark
 */
/** @typedef {{bytes: Uint8Array, pinned: boolean}} Trust */
/**
 * What is on its way: the evidence of the journey (null while not all is anchored) and the province's trust file.
 * @typedef {{evidence: Promise<Uint8Array>|null, trust: Promise<Uint8Array>}} Asked
 */
/**
 * `verdict` is the journey's, null if there is no file of it; what the server said then is `refusal`.
 * @typedef {{trust: Trust, verdict: Verdict|null, refusal: string, marks: Map<string, Mark>}} Found
 */

// So many records are asked for one by one at most: a page is not to keep a server busy.
const MAX_SINGLE = 40;

/**
 * Check the journey of a code, and each record that the page shows.
 * @param {string} code
 * @param {Shown[]} shown
 * @param {Language} language
 * @param {Asked} asked
 * @returns {Promise<Found>}
 * @throws {NotHad} neither evidence nor trust file could be fetched
 */
export async function check(code, shown, language, asked) {
  const [trust, evidence] = await Promise.all([believed(asked), asked.evidence?.catch(refused) ?? '']);
  if (typeof evidence === 'string') return { trust, verdict: null, refusal: evidence, marks: await singly(shown, trust, language) };
  const [verdict, by] = await judged(evidence, trust, code, asked);
  const marks = verdict.proven ? new Map(shown.map((one) => [one.id, mark(one, verdict)])) : await singly(shown, by, language);
  return { trust: by, verdict, refusal: '', marks };
}

/**
 * Return the verdict and the trust file that it is by. A newer file that follows from the pinned one is as good;
 * to pin it is for /verify.
 * @param {Uint8Array} evidence
 * @param {Trust} trust
 * @param {string} code
 * @param {Asked} asked
 * @returns {Promise<[Verdict, Trust]>}
 */
async function judged(evidence, trust, code, asked) {
  const verdict = await verdictOn(evidence, trust, code);
  if (!trust.pinned || verdict.failure?.kind !== 'untrusted') return [verdict, trust];
  const fresh = { bytes: await asked.trust, pinned: true };
  if (!(await replaces(trust.bytes, fresh.bytes))) return [verdict, trust];
  return [await verdictOn(evidence, fresh, code), fresh];
}

/**
 * @param {Uint8Array} evidence
 * @param {Trust} trust
 * @param {string} code
 * @returns {Promise<Verdict>}
 */
function verdictOn(evidence, trust, code) {
  return verify(evidence, trust.bytes, { code, now: Math.floor(Date.now() / 1000) });
}

/**
 * Return the trust file that this device has pinned, else the one that this province hands out.
 * @param {Asked} asked
 * @returns {Promise<Trust>}
 */
async function believed(asked) {
  const kept = await pinned();
  return kept ? { bytes: kept.bytes, pinned: true } : { bytes: await asked.trust, pinned: false };
}

/**
 * Check each record by its own evidence.
 * @param {Shown[]} shown
 * @param {Trust} trust
 * @param {Language} language
 * @returns {Promise<Map<string, Mark>>}
 */
async function singly(shown, trust, language) {
  /** @type {Map<string, Mark>} */
  const marks = new Map();
  for (const [place, one] of shown.entries()) {
    marks.set(one.id, place < MAX_SINGLE ? await single(one, trust, language) : { key: 'unchecked' });
  }
  return marks;
}

/**
 * @param {Shown} one
 * @param {Trust} trust
 * @param {Language} language
 * @returns {Promise<Mark>}
 */
async function single(one, trust, language) {
  if (!one.anchored) return { key: 'waiting' };
  try {
    return mark(one, await verdictOn(await ask(`/v1/records/${one.id}/evidence`, language), trust, one.code));
  } catch (error) {
    if (error instanceof NotHad) return { key: 'unchecked' };
    throw error;
  }
}

/**
 * Return what a verdict means for one record of the page.
 * @param {Shown} one
 * @param {Verdict} verdict
 * @returns {Mark}
 */
function mark(one, verdict) {
  if (!verdict.proven) return { key: 'failed', verdict };
  const record = verdict.records.find((it) => it.id === one.id);
  if (!record) return { key: 'missing' };
  if (record.statement !== 'third-party') return { key: 'proven', record };
  return { key: one.other ? 'other' : 'stranger', record };
}

/**
 * Return the server's words if it has no file of the journey; without an answer there is nothing to go by.
 * @param {unknown} error
 * @returns {string}
 */
function refused(error) {
  if (error instanceof NotHad && error.key === 'refused') return error.said;
  throw error;
}
