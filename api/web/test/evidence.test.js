// SPDX-License-Identifier: GPL-3.0-or-later
// Evidence files are read strictly and in one order: the first fault decides what is said.

import assert from 'node:assert/strict';
import test from 'node:test';

import { utf8 } from '../src/verifier/bytes.js';
import { readEvidence } from '../src/verifier/evidence.js';
import { refusal, vector, vectorJson } from './support.js';

const NAME = 'evidence/ancestry-across-three-eras-of-four.json';
const MANY = 'x'.repeat(70_000);

/** @param {unknown} value */
const kindOf = (value) => refusal(() => readEvidence(utf8(JSON.stringify(value))));

/** What evidence is refused as once it is changed. @param {(value: any) => void} change */
function changed(change) {
  const value = vectorJson(NAME);
  change(value);
  return kindOf(value);
}

test('what is no evidence, and what is of another version', () => {
  assert.equal(refusal(() => readEvidence(vector(NAME))), undefined);
  for (const value of [null, 1, [], {}, { format: 1 }, { format: 'moneo/trust/v1' }, { format: 'Moneo/evidence/v1' }]) assert.equal(kindOf(value), 'malformed');
  for (const format of ['moneo/evidence/', 'moneo/evidence/v2', 'moneo/evidence/v1 ']) assert.equal(kindOf({ format, more: 1 }), 'newer');
  assert.equal(refusal(() => readEvidence(new Uint8Array())), 'malformed');
  assert.equal(refusal(() => readEvidence(new Uint8Array((1 << 20) + 1))), 'too-large');
});

test('a count beyond its limit is too large before anything in the list is read', () => {
  const limits = { records: 1000, batches: 256, anchors: 256, light_blocks: 32, eras: 32 };
  for (const [name, most] of Object.entries(limits)) {
    assert.equal(changed((value) => (value[name] = Array(most + 1).fill(null))), 'too-large');
    assert.equal(changed((value) => (value[name] = Array(most).fill(null))), 'malformed');
    assert.equal(changed((value) => (value[name] = {})), 'malformed');
    if (name !== 'eras') assert.equal(changed((value) => (value[name] = [])), 'malformed');
  }
});

test('each length has its limit', () => {
  /** @type {((value: any) => void)[]} */
  const changes = [
    ({ records: [one] }) => (one.record = MANY), ({ records: [one] }) => (one.path = Array(33).fill(null)), ({ batches: [one] }) => (one.note = MANY), ({ batches: [one] }) => (one.proof = MANY),
    ({ batches: [one] }) => (one.issuer.registration = MANY), ({ anchors: [one] }) => (one.header = 'A'.repeat(2736)), ({ anchors: [one] }) => (one.nodes[0] = 'A'.repeat(1368)),
    ({ anchors: [one] }) => (one.nodes = Array(1025).fill(null)), ({ anchors: [one] }) => (one.finality.header = 'A'.repeat(2736)), ({ anchors: [one] }) => (one.finality.path = Array(54).fill(null)),
    (value) => (value.eras = [...value.light_blocks, ...Array(32).fill(value.eras[0])].slice(0, 32)), (value) => (value.batches = Array(256).fill(value.batches[0])),
  ];
  for (const change of changes) assert.equal(changed(change), 'too-large', String(change));
});

test('values before come first, and of a value its names', () => {
  assert.equal(changed((value) => Object.assign(value, { more: 1, records: Array(1001) })), 'malformed');
  assert.equal(changed((value) => Object.assign(value, { records: Array(1001), batches: 1 })), 'too-large');
  assert.equal(changed(({ records: [one] }) => Object.assign(one, { record: MANY, batch: -1 })), 'too-large');
  assert.equal(changed(({ records: [one] }) => Object.assign(one, { batch: -1, path: Array(33) })), 'malformed');
  assert.equal(changed(({ anchors: [one] }) => (one.finality = { type: 'other', and: 'more' })), 'newer');
  assert.equal(changed(({ anchors: [one] }) => (one.finality.type = '')), 'newer');
  assert.equal(changed(({ anchors: [one] }) => (one.finality.type = 1)), 'malformed');
  assert.equal(changed(({ anchors: [one] }) => delete one.finality.path), 'malformed');
  assert.equal(changed((value) => ((value.anchors[0].finality.type = 'other'), (value.eras = 1))), 'newer');
  assert.equal(changed(({ anchors: [one] }) => Object.assign(one, { header: '!'.repeat(4000) })), 'malformed');
});

test('a member left out, added, or of another type is malformed', () => {
  const places = ['records', 'batches', 'anchors', 'light_blocks', 'eras'];
  const junk = [null, true, -1, 1.5, '', [], {}, [[]], 'x'];
  /** @param {any} part @param {(part: any) => any} from */
  function walk(part, from) {
    for (const name of Object.keys(part)) {
      if (!Array.isArray(part)) assert.equal(changed((value) => delete from(value)[name]), 'malformed', name);
      for (const item of junk) {
        const change = (/** @type {any} */ value) => (from(value)[name] = item);
        if (!(name === 'app_hash' && item === '') && !isSameKind(part, name, item)) assert.equal(changed(change), 'malformed', `${name} ${JSON.stringify(item)}`);
      }
      if (part[name] !== null && typeof part[name] === 'object' && !Array.isArray(part[name])) walk(part[name], (value) => from(value)[name]);
    }
    if (!Array.isArray(part)) assert.equal(changed((value) => (from(value).more = 1)), 'malformed');
  }
  const value = vectorJson(NAME);
  for (const name of places) walk(value[name][0], (changing) => changing[name][0]);
});

/** What may stand there, or is wrong only later: HEX may be empty, lists too, a `type` of another text is newer. @param {any} part @param {string} name @param {unknown} item */
const isSameKind = (part, name, item) =>
  (item === '' && (name.endsWith('hash') || name === 'hash' || name === 'proposer_address')) || (Array.isArray(item) && !item.length && Array.isArray(part[name])) ||
  (name === 'type' && typeof item === 'string') || (name === 'chain_id' && item === 'x');

test('everything is referenced, by an index in range, and nothing is there twice', () => {
  /** @type {((value: any) => void)[]} */
  const changes = [
    ({ records: [one] }) => (one.batch = 1), ({ batches: [one] }) => (one.anchor = 1), ({ anchors: [one] }) => (one.finality.light_block = 1),
    (value) => value.records.push(value.records[0]), (value) => value.eras.push(value.eras[0]),
    (value) => value.batches.push({ ...value.batches[0], note: `${value.batches[0].note}x` }),
    (value) => (value.batches.push(value.batches[0]), value.records.push({ ...value.records[0], batch: 1 })),
    (value) => value.anchors.push({ ...value.anchors[0], log_key: value.batches[0].key }), (value) => value.light_blocks.push(value.eras[0]),
    (value) => (value.light_blocks.push({ ...value.light_blocks[0], round: 1 }), value.anchors.push({ ...value.anchors[0], finality: { type: 'cometbft-0.38', light_block: 1 } })),
  ];
  for (const change of changes) assert.equal(changed(change), 'malformed', String(change));
});

test('a header is the same whatever zeros end its time', () => {
  const [era] = vectorJson(NAME).eras;
  const spelled = (/** @type {string} */ time) => ({ ...era, header: { ...era.header, time: era.header.time.replace(/\..*/, time) } });
  assert.equal(changed((value) => value.eras.push(spelled('.5Z'), spelled('.50Z'))), 'malformed');
  assert.equal(changed((value) => value.eras.push(spelled('.5Z'), spelled('.05Z'))), undefined);
});
