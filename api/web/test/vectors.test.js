// SPDX-License-Identifier: GPL-3.0-or-later
// The vectors are verdicts for ever: each case is proven, or fails at its step and as its kind.

import assert from 'node:assert/strict';
import test from 'node:test';

import { TrustError, verify } from '../src/verifier/index.js';
import { vector, vectorJson } from './support.js';

const STATES = ['ok', 'failed', 'skipped'];
const EMPTY = { records: [], notes: [], assurance: null };

/**
 * @typedef {{name: string, trust: string, code: string|null, trust_refused?: boolean, proven?: boolean, step?: number}} Row
 * @typedef {import('../src/verifier/verdict.js').Verdict} Verdict
 */

/** What the index says of a verdict. @param {Verdict} verdict */
function outcome({ proven, assurance, records, notes, failure }) {
  if (failure) return { proven, step: failure.step, kind: failure.kind };
  const shown = records.map(({ statement, level, assurance: sure, when, superseded_by }) =>
    ({ statement, level, assurance: sure, when, superseded: superseded_by.length }));
  return { proven, assurance, records: shown, notes: notes.map(({ key, record }) => [key, record]) };
}

/** A failure ends the steps and shows nothing. @param {Verdict} verdict */
function checkShape({ steps, failure, fingerprint, not_proven, ...rest }) {
  const states = steps.map(({ state }) => STATES.indexOf(state));
  assert.deepEqual(steps.map(({ number }) => number), [...steps.keys()]);
  assert.equal(fingerprint.split(' ').length, 16);
  assert.deepEqual(not_proven, ['original', 'true', 'complete']);
  if (!failure) return assert.deepEqual(states.slice(0, 7), Array(7).fill(0));
  assert.deepEqual(states, steps.map((_, i) => Math.sign(i - failure.step) + 1));
  return assert.deepEqual({ records: rest.records, notes: rest.notes, assurance: rest.assurance }, EMPTY);
}

for (const folder of ['evidence', 'network']) {
  /** @type {Row[]} */
  const rows = vectorJson(`${folder}/index.json`);
  test(`${folder}: ${rows.length} verdicts`, async (t) => {
    assert.ok(rows.length > 1);
    for (const { name, trust, code, trust_refused, ...expected } of rows) {
      await t.test(`${name}, ${trust}`, async () => {
        const files = /** @type {const} */ ([vector(`${folder}/${name}.json`), vector(`${folder}/${trust}`)]);
        if (trust_refused) return assert.rejects(verify(...files, { code }), TrustError);
        const verdict = await verify(...files, { code });
        checkShape(verdict);
        const { about, ...said } = /** @type {{about?: string}} */ (expected);
        return assert.deepEqual(outcome(verdict), said, `${about} ${verdict.failure?.detail}`);
      });
    }
  });
}
