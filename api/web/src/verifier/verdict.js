// SPDX-License-Identifier: GPL-3.0-or-later
// The verdict as a value: what is proven, by whom, by when, how surely, and what to know besides (docs/evidence.md,
// “The verdict”). Times are POSIX seconds.

import { hex } from './bytes.js';
import { readTime } from './cometbft.js';
import { Refused } from './errors.js';
import { toJson } from './ijson.js';

/** @typedef {import('./errors.js').Kind} Kind */
/** @typedef {import('./eras.js').Assurance} Assurance */
/** @typedef {import('./ijson.js').Plain} Plain */
/** @typedef {{number: number, key: string, state: 'ok'|'failed'|'skipped', detail: string}} Step */
/** @typedef {{step: number, kind: Kind, detail: string}} Failure */
/** @typedef {{key: string, record: number|null, days: number|null}} Note of the record at this index, or of all */
/**
 * @typedef {object} ProvenRecord
 * @property {string} id
 * @property {string} leaf
 * @property {string} type
 * @property {string} mode
 * @property {{[name: string]: Plain}} fields
 * @property {string[]} hidden
 * @property {string} issuer
 * @property {string} issuer_name
 * @property {import('./evidence.js').Custody} custody
 * @property {string} province
 * @property {string} log
 * @property {number} claimed
 * @property {number|null} event_time
 * @property {number} when
 * @property {Assurance} assurance
 * @property {number} validators
 * @property {import('./statements.js').Class['statement']|null} statement
 * @property {import('./statements.js').Class['level']|null} level
 * @property {string[]} superseded_by
 */
/**
 * @typedef {object} Verdict
 * @property {boolean} proven
 * @property {Assurance|null} assurance
 * @property {Step[]} steps
 * @property {ProvenRecord[]} records
 * @property {string} fingerprint
 * @property {Failure|null} failure
 * @property {Note[]} notes
 * @property {string|null} expect_code
 * @property {string[]} not_proven
 */

const STEPS = ['read', 'record', 'signature', 'log', 'state', 'header', 'finality', 'code', 'age'];
/** @type {Pick<Step, 'state'|'detail'>} */
const SKIPPED = { state: 'skipped', detail: '' };
const NOT_PROVEN = ['original', 'true', 'complete'];
/** @type {Assurance[]} from the weakest */
const ASSURANCES = ['past-era', 'one-validator', 'consortium'];

const DAY = 86_400;
const LATE = 3 * DAY;
const CLOCKS_APART = 600;
const EVENT_TIME = /^(.{19,29})(?:Z|([+-])(\d\d):(\d\d))$/;

/**
 * The verdict, from what became of the steps: those that are not told were skipped.
 * @param {object} report
 * @param {string} report.fingerprint
 * @param {string|null} report.expectCode
 * @param {Pick<Step, 'state'|'detail'>[]} report.told
 * @param {Failure|null} report.failure
 * @param {ProvenRecord[]} [report.records]
 * @param {Note[]} [report.notes]
 * @returns {Verdict}
 */
export function verdict({ fingerprint, expectCode, told, failure, records = [], notes = [] }) {
  return {
    proven: failure === null,
    assurance: ASSURANCES.find((one) => records.some(({ assurance }) => assurance === one)) ?? null,
    steps: STEPS.map((key, number) => ({ number, key, ...(told[number] ?? SKIPPED) })),
    records,
    fingerprint,
    failure,
    notes,
    expect_code: expectCode,
    not_proven: [...NOT_PROVEN],
  };
}

/** @typedef {Pick<ProvenRecord, 'province'|'when'|'assurance'|'validators'>} Found what is known of a record by its anchor */

/**
 * What one proven record says, and what is known of it.
 * @param {import('./evidence.js').EvidenceRecord} record
 * @param {import('./evidence.js').EvidenceBatch} batch
 * @param {Found} found @param {import('./statements.js').Class|null} kind @param {string[]} supersededBy ids
 * @returns {ProvenRecord}
 */
export function provenRecord({ shown, index }, { statement: note, issuer }, found, kind, supersededBy) {
  const name = issuer.registration.fields.get('name');
  return {
    id: recordId(note.id, index),
    leaf: hex(shown.leaf),
    type: shown.type,
    mode: shown.mode,
    fields: /** @type {{[name: string]: Plain}} */ (toJson(shown.fields)),
    hidden: shown.hidden,
    issuer: note.issuer,
    issuer_name: typeof name === 'string' ? name : '',
    custody: issuer.custody,
    province: found.province,
    log: note.log,
    claimed: note.time,
    event_time: eventTime(shown.fields.get('eventTime')),
    when: found.when,
    assurance: found.assurance,
    validators: found.validators,
    statement: kind?.statement ?? null,
    level: kind?.level ?? null,
    superseded_by: supersededBy,
  };
}

/** @param {string} batch its id @param {number} index */
export const recordId = (batch, index) => `${batch}.${index}`;

/**
 * When an event says that it happened; null if it doesn't, or not so that it can be told.
 * @param {import('./ijson.js').Value|undefined} value
 */
function eventTime(value) {
  const match = typeof value === 'string' ? EVENT_TIME.exec(value) : null;
  if (!match) return null;
  const [, local, sign, hours = '0', minutes = '0'] = match;
  if (Number(hours) > 23 || Number(minutes) > 59) return null;
  try {
    const offset = Number(hours) * 3600 + Number(minutes) * 60;
    return readTime(`${local}Z`, 'eventTime').seconds - (sign === '-' ? -offset : offset);
  } catch (error) {
    if (error instanceof Refused) return null;
    throw error;
  }
}

/**
 * The notes of each record in its turn, then those of the file.
 * @param {ProvenRecord[]} records @param {boolean} isMember whether the trust file names every log's owner
 * @param {{date: number}} trust @param {number|null} now
 * @returns {Note[]}
 */
export const notesOn = (records, isMember, trust, now) => [
  ...records.flatMap(notesOf),
  ...(isMember ? [] : [note('unknown-member')]),
  ...(now === null ? [] : ages(Math.max(...records.map(({ when }) => when)), trust.date, now)),
];

/** @param {ProvenRecord} one @param {number} record its index @returns {Note[]} */
function notesOf({ mode, custody, claimed, event_time, when }, record) {
  const late = when - Math.min(claimed, event_time ?? claimed);
  return [
    ...(mode === 'practice' ? [note('practice', record)] : []),
    ...(custody === 'operator' ? [note('operator', record)] : []),
    ...(late > LATE ? [note('written-later', record, days(late))] : []),
    ...(claimed - when > CLOCKS_APART ? [note('claimed-after', record)] : []),
  ];
}

/** @param {number} when @param {number} date @param {number} now @returns {Note[]} */
const ages = (when, date, now) => [
  note('evidence-age', null, days(now - when)),
  note('trust-age', null, days(now - date)),
  ...(now < Math.max(when, date) - CLOCKS_APART ? [note('clock-behind')] : []),
];

/** @param {string} key @param {number|null} record @param {number|null} days @returns {Note} */
const note = (key, record = null, days = null) => ({ key, record, days });

/** Whole days. @param {number} seconds */
const days = (seconds) => Math.max(0, Math.floor(seconds / DAY));
