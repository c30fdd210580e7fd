// SPDX-License-Identifier: GPL-3.0-or-later
// Light blocks and trust files: those of real networks, spoiled ones, and each that replaces another.

import assert from 'node:assert/strict';
import test from 'node:test';

import { hex } from '../src/verifier/bytes.js';
import { checkCommitted, isMinimal, readLightBlock, readTime, roundedUp } from '../src/verifier/cometbft.js';
import { Known } from '../src/verifier/eras.js';
import { Refused, TrustError } from '../src/verifier/errors.js';
import { parse } from '../src/verifier/ijson.js';
import { fingerprint, openTrust, replaces } from '../src/verifier/trust.js';
import { refusal, vector, vectorJson } from './support.js';

/** @typedef {import('../src/verifier/ijson.js').Value} Value */

/** @param {unknown} value */
const ijson = (value) => parse(new TextEncoder().encode(JSON.stringify(value)));
/** @param {unknown} value */
const block = (value) => readLightBlock(ijson(value), 'light block');

/**
 * The kind that something is refused as, or what it gives.
 * @template T @param {Promise<T>} promise @returns {Promise<T|string>}
 */
const kindOf = (promise) => promise.catch((error) => (error instanceof Refused ? error.kind : Promise.reject(error)));

test("CometBFT's light blocks are believed, and no spoiled one", async () => {
  const rows = vectorJson('light-blocks.json');
  assert.ok(rows.length > 20);
  for (const { name, chain_id, trusted, eras, light_block, proven } of rows) {
    const known = await Known.from(block(trusted)).follow(eras.map(block), chain_id);
    const found = block(light_block);
    const kind = await kindOf(
      (async () => {
        await checkCommitted(found, chain_id);
        known.checkInPower(found);
        known.checkFits(found);
      })(),
    );
    assert.equal(kind, proven ? undefined : 'invalid', name);
    assert.equal(isMinimal(found), !name.endsWith('with-all-votes'), name);
  }
});

test('what breaks the two tables is malformed', () => {
  const { light_block: good } = vectorJson('light-blocks.json')[0];
  /** @type {[string, (block: any) => void][]} */
  const changes = [
    ['a member more', (b) => (b.more = 1)], ['none', (b) => delete b.votes],
    ['a field more', (b) => (b.header.more = '')],
    ['no version', (b) => delete b.header.version], ['version as text', (b) => (b.header.version = '11')],
    ['app 0', (b) => (b.header.version.app = '0')], ['app a number', (b) => (b.header.version.app = 1)],
    ['another part of version', (b) => (b.header.version.x = '1')],
    ['chain id empty', (b) => (b.header.chain_id = '')],
    ['chain id long', (b) => (b.header.chain_id = 'x'.repeat(51))],
    ['chain id with a line end', (b) => (b.header.chain_id += '\n')],
    ['chain id in Vietnamese', (b) => (b.header.chain_id = 'tỉnh')],
    ['height a number', (b) => (b.header.height = 1)], ['height +', (b) => (b.header.height = '+1')],
    ['height 01', (b) => (b.header.height = '01')], ['height empty', (b) => (b.header.height = '')],
    ['height 2^53', (b) => (b.header.height = '9007199254740992')],
    ['height of 17 digits', (b) => (b.header.height = '1'.repeat(17))],
    ['height in other digits', (b) => (b.header.height = '１')],
    ['hash in lower case', (b) => (b.header.data_hash = 'aa')], ['half a byte', (b) => (b.header.data_hash = 'AAA')],
    ['129 bytes', (b) => (b.header.data_hash = 'AA'.repeat(129))], ['hash null', (b) => (b.header.data_hash = null)],
    ['last total text', (b) => (b.header.last_block_id.parts.total = '0')],
    ['last without parts', (b) => delete b.header.last_block_id.parts],
    ['round below zero', (b) => (b.round = -1)], ['round text', (b) => (b.round = '0')],
    ['total 1.5', (b) => (b.parts.total = 1.5)], ['parts null', (b) => (b.parts = null)],
    ['votes an object', (b) => (b.votes = {})], ['a vote of nobody', (b) => (b.votes[0][0] = b.validators.length)],
    ['a vote of four', (b) => b.votes[0].push(1)], ['a vote of two', (b) => b.votes[0].pop()],
    ['a signature of 63 bytes', (b) => (b.votes[0][2] = Buffer.alloc(63).toString('base64'))],
    ['a key of 33 bytes', (b) => (b.validators[0][0] = Buffer.alloc(33).toString('base64'))],
    ['power 2^53', (b) => (b.validators[0][1] = 2 ** 53)], ['power text', (b) => (b.validators[0][1] = '1')],
    ['513 validators', (b) => (b.validators = Array(513).fill(b.validators[0]))],
    ['513 votes', (b) => (b.votes = Array(513).fill(b.votes[0]))],
  ];
  block(good);
  for (const [name, change] of changes) {
    const bad = structuredClone(good);
    change(bad);
    assert.equal(refusal(() => block(bad)), 'malformed', name);
  }
  const most = structuredClone(good);
  const header = { chain_id: ' ~'.repeat(25), height: '9007199254740991', data_hash: 'AA'.repeat(128), app_hash: '' };
  Object.assign(most.header, header);
  Object.assign(most, { round: 2 ** 53 - 1, validators: Array(512).fill(good.validators[0]), votes: [] });
  assert.equal(block(most).validators.length, 512);
});

test('times are those of the calendar, to the nanosecond', () => {
  /** @type {[string, number, number][]} */
  const times = [
    ['1970-01-01T00:00:00Z', 0, 0], ['0001-01-01T00:00:00Z', -62135596800, 0],
    ['9999-12-31T23:59:59.999999999Z', 253402300799, 999999999],
    ['2000-02-29T12:34:56.5Z', 951827696, 500000000], ['1969-12-31T23:59:59.000000001Z', -1, 1],
    ['2026-11-22T15:04:49.638116884Z', 1795359889, 638116884],
    ['0099-03-01T00:00:00.000Z', -59037897600, 0], ['1900-02-28T23:59:59.10Z', -2203891201, 100000000],
  ];
  for (const [text, seconds, nanos] of times) {
    assert.deepEqual(readTime(text, 'time'), { seconds, nanos });
    assert.equal(roundedUp({ seconds, nanos }), nanos ? seconds + 1 : seconds);
  }
  for (let year = 1; year < 10000; year += 37) {
    const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
    const text = `${String(year).padStart(4, '0')}-02-29T00:00:00Z`;
    assert.equal(refusal(() => readTime(text, 'time')), leap ? undefined : 'malformed', text);
  }
  for (const text of [
    '0000-01-01T00:00:00Z', '2026-00-01T00:00:00Z', '2026-13-01T00:00:00Z', '2026-01-00T00:00:00Z',
    '2026-04-31T00:00:00Z', '2026-01-32T00:00:00Z', '2026-01-01T24:00:00Z', '2026-01-01T00:60:00Z',
    '2026-01-01T00:00:60Z', '2026-01-01T00:00:00', '2026-01-01T00:00:00z', '2026-01-01t00:00:00Z',
    '2026-01-01 00:00:00Z', '2026-01-01T00:00:00.Z', '2026-01-01T00:00:00,5Z', '2026-01-01T00:00:00+00:00',
    '2026-01-01T00:00:00.1234567890Z', '2026-01-01T00:00Z', '12026-01-01T00:00:00Z', '-001-01-01T00:00:00Z',
    '2026-1-01T00:00:00Z', '2026-01-01T00:00:00Z\n', ' 2026-01-01T00:00:00Z', '２026-01-01T00:00:00Z', '',
  ]) assert.equal(refusal(() => readTime(text, 'time')), 'malformed', text);
});

test('a pinned trust file is replaced by what follows from it alone', async () => {
  const pairs = vectorJson('trust/index.json');
  assert.ok(pairs.length > 30);
  for (const { name, pinned, fresh, replaces: expected } of pairs) {
    assert.equal(await replaces(vector(`trust/${pinned}`), vector(`trust/${fresh}`)), expected, name);
  }
});

test('a trust file is of one form', async () => {
  const name = 'evidence/trust-480b033a.json';
  const trust = await openTrust(vector(name));
  assert.match(trust.fingerprint, /^(?:[0-9a-f]{4} ){15}[0-9a-f]{4}$/);
  assert.equal(fingerprint(vector(name)), trust.fingerprint);
  assert.equal(trust.validators, 4);
  assert.equal(trust.members[0].name, 'Tỉnh Mẫu (sample)');
  assert.equal(hex(trust.anchorLog.address), '4d6f6e656f000000000000000000000000000002');
  const other = { owner: `0x${'00'.repeat(20)}`, name: 'Tỉnh khác', hosts: [], log: 'other' };
  const others = (/** @type {number} */ count) =>
    Array.from({ length: count }, (_, i) => ({ ...other, name: `n${i}`, owner: `0x${String(i).padStart(40, '0')}` }));
  /** @type {[boolean, (trust: any) => void][]} */
  const changes = [
    [true, (t) => (t.date = '0001-01-01T00:00:00Z')], [false, (t) => (t.date = '2026-09-21T14:13:20.0Z')],
    [false, (t) => (t.date = '2026-09-31T00:00:00Z')], [false, (t) => (t.date = 0)],
    [true, (t) => (t.evm_chain_id = 0)], [false, (t) => (t.evm_chain_id = 1.5)],
    [false, (t) => (t.cometbft_chain_id += 'x')], [false, (t) => (t.format = 'moneo/trust/v2')],
    [false, (t) => (t.more = 1)],
    [false, (t) => (t.header = t.header.replace('AAAA', 'AAAB'))], [false, (t) => (t.header = '')],
    [false, (t) => (t.contracts.AnchorLog.address = t.contracts.AnchorLog.address.toUpperCase())],
    [false, (t) => (t.contracts.AnchorLog.code_hash += '00')], [false, (t) => delete t.contracts.IssuerRegistry],
    [false, (t) => (t.members = [])], [true, (t) => t.members.push(other)],
    [false, (t) => t.members.push(other, { ...other, name: 'x' })],
    [false, (t) => t.members.push(other, { ...other, owner: `0x${'11'.repeat(20)}` })],
    [true, (t) => (t.members[0].name = '🦀'.repeat(256))], [false, (t) => (t.members[0].name = '🦀'.repeat(257))],
    [false, (t) => (t.members[0].name = '')], [true, (t) => (t.members[0].hosts = Array(16).fill('h'))],
    [false, (t) => (t.members[0].hosts = Array(17).fill('h'))], [false, (t) => (t.members[0].hosts = [''])],
    [false, (t) => (t.members[0].log = 'a b')], [false, (t) => (t.members[0].log = 'a+b')],
    [true, (t) => (t.members[0].log = 'x'.repeat(256))],
    [false, (t) => (t.members[0].log = 'x'.repeat(257))],
    [true, (t) => t.members.push(...others(255))], [false, (t) => t.members.push(...others(256))],
    [false, (t) => (t.eras = [t.light_block])],
  ];
  for (const [i, [good, change]] of changes.entries()) {
    const changed = vectorJson(name);
    change(changed);
    const opening = openTrust(new TextEncoder().encode(JSON.stringify(changed)));
    if (good) await opening;
    else await assert.rejects(opening, TrustError, String(i));
  }
  for (const bytes of [new Uint8Array(), new Uint8Array(2 ** 20 + 1).fill(32), new TextEncoder().encode('[]')]) {
    await assert.rejects(openTrust(bytes), TrustError);
  }
});
