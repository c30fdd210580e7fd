// SPDX-License-Identifier: GPL-3.0-or-later
// A record's leaf stands whatever is shown of it, and one presentation says one thing.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';

import { hex, utf8 } from '../src/verifier/bytes.js';
import { parseRecord } from '../src/verifier/record.js';
import { refusal } from './support.js';

const SALT = 'A'.repeat(22);
const HASH = 'A'.repeat(43);

/** @param {string|Buffer} json */
const disclosed = (json) => Buffer.from(json).toString('base64url');
/** @param {unknown} name @param {unknown} value @param {unknown} salt */
const disclosure = (name, value = 1, salt = SALT) => disclosed(JSON.stringify([salt, name, value]));
/** @param {string[]} shown @param {string} lines */
const presentation = (shown, lines = '') => `moneo/record/v1\ntype a\nmode live\n${lines}~${shown.map((one) => `${one}~`).join('')}\n`;

const GOOD = presentation([disclosure('a')], `re ${HASH}\ncode ${HASH}\n`);

test('the leaf is the lines, with one for each field, shown or not', () => {
  const [a, c] = [disclosure('a', 'é'), disclosure('c')];
  const digest = (/** @type {string} */ text) => createHash('sha256').update(text).digest('base64url');
  const leaf = `moneo/record/v1\ntype a\nmode live\nre ${HASH}\ncode ${HASH}\nfield a ${digest(a)}\nfield b ${HASH}\nfield c ${digest(c)}\n`;
  const read = parseRecord(presentation([a, c], `re ${HASH}\ncode ${HASH}\nfield b ${HASH}\n`));
  assert.equal(hex(read.leaf), createHash('sha256').update('\0').update(leaf).digest('hex'));
  assert.deepEqual({ ...read, leaf: 0 }, { type: 'a', mode: 'live', re: [HASH], codes: [HASH], hidden: ['b'], leaf: 0, fields: new Map(Object.entries({ a: 'é', c: 1 })) });
  const hidden = parseRecord(presentation([], `re ${HASH}\ncode ${HASH}\nfield a ${digest(a)}\nfield b ${HASH}\nfield c ${digest(c)}\n`));
  assert.equal(hex(hidden.leaf), hex(read.leaf));
});

test('a line that is wrong, missing, moved or twice is refused', () => {
  const changed = (/** @type {string} */ old, /** @type {string} */ now) => {
    assert.ok(GOOD.includes(old));
    return GOOD.replace(old, now);
  };
  const wrong = [
    '', '\n', GOOD.slice(0, -1), `${GOOD}\n`, `${GOOD}~\n`, `${GOOD.slice(0, -2)}\n`, GOOD.replaceAll('\n', '\r\n'), ` ${GOOD}`,
    changed('v1', 'v2'), changed('type a\n', ''), changed('type a', 'type A'), changed('type a', `type ${'a'.repeat(41)}`), changed('type a', 'type '),
    changed('mode live', 'mode dead'), changed('mode live\n', ''), changed('mode live', 'mode live\nmode live'), changed('re A', 're BA'),
    changed('A\ncode', 'B\ncode'), changed('\ncode', ' \ncode'), changed(`code ${HASH}`, `code ${HASH.slice(1)}=`), changed(`re ${HASH}`, `code ${HASH}`),
    changed('\n~', `\nfield b ${HASH.slice(1)}\n~`), changed('\n~', `\nfield  ${HASH}\n~`), changed('\n~', `\nfield b ${HASH} \n~`), changed('\n~', '\nfield b\n~'),
    changed('\n~', '\nother\n~'), changed('\n~', '\n\n~'), changed('\n~', '\n~~'), changed('\n~', '\n~=~'), changed('type a', 'type á'),
    presentation([disclosure('a')], `re ${HASH}\n`.repeat(2)), presentation([disclosure('a')], `code B${HASH.slice(1)}\ncode ${HASH}\n`),
  ];
  assert.equal(refusal(() => parseRecord(GOOD)), undefined);
  for (const text of wrong) assert.equal(refusal(() => parseRecord(text)), 'malformed', text);
});

test('a disclosure that is wrong is refused', () => {
  const written = (/** @type {string} */ value) => disclosed(`["${SALT}","a",${value}]`);
  const wrong = [
    [], [disclosure('b'), disclosure('a')], [disclosure('a'), disclosure('a', 2)], ...['', 'a b', 'à', 'a\n', 'a'.repeat(65), 1, ['a']].map((name) => [disclosure(name)]),
    ...['A'.repeat(21), 'A'.repeat(23), `${'A'.repeat(21)}B`, `${'A'.repeat(21)}+`, `${SALT}\n`, null].map((salt) => [disclosure('a', 1, salt)]),
    [disclosed(`["${SALT}","a"]`)], [disclosed(`["${SALT}","a",1,2]`)], [disclosed('{"a":1}')], ['A'], ['AAAAB'], [''], [`${disclosure('a')}A`],
    ...['NaN', '9007199254740992', '{"x":1,"x":2}', '"\\ud800"', `${'['.repeat(16)}${']'.repeat(16)}`, '1]', ''].map((value) => [written(value)]),
  ];
  assert.equal(refusal(() => parseRecord(presentation([written(`${'['.repeat(15)}${']'.repeat(15)}`)]))), undefined);
  for (const shown of wrong) assert.equal(refusal(() => parseRecord(presentation(shown))), 'malformed', String(shown));
});

test('a field is shown or hidden, not both', () => {
  const digest = createHash('sha256').update(disclosure('a')).digest('base64url');
  assert.equal(refusal(() => parseRecord(presentation([disclosure('a')], `field a ${digest}\n`))), 'malformed');
  for (const names of [['b', 'a'], ['a', 'a']]) {
    assert.equal(refusal(() => parseRecord(presentation([], names.map((name) => `field ${name} ${HASH}\n`).join('')))), 'malformed');
  }
});

test('counts up to their bounds are accepted and beyond refused', () => {
  const many = (/** @type {string} */ kind, /** @type {number} */ count) =>
    Array.from({ length: count }, (_, i) => `${kind} ${Buffer.alloc(32, i).toString('base64url')}\n`).sort().join('');
  const fields = (/** @type {number} */ count) => Array.from({ length: count }, (_, i) => disclosure(`f${String(i).padStart(3, '0')}`));
  for (const [kind, most] of /** @type {const} */ ([['re', 8], ['code', 64]])) {
    assert.equal(refusal(() => parseRecord(presentation([disclosure('a')], many(kind, most)))), undefined);
    assert.equal(refusal(() => parseRecord(presentation([disclosure('a')], many(kind, most + 1)))), 'malformed');
  }
  assert.equal(refusal(() => parseRecord(presentation(fields(256)))), undefined);
  assert.equal(refusal(() => parseRecord(presentation(fields(257)))), 'malformed');
});

test('any other byte anywhere is refused, or another leaf', () => {
  const leaf = hex(parseRecord(GOOD).leaf);
  for (let at = 0; at < GOOD.length; at++) {
    for (const byte of ['\0', '\n', ' ', '~', 'A', 'B', 'z', 'é']) {
      const text = GOOD.slice(0, at) + byte + GOOD.slice(at + 1);
      const refused = refusal(() => assert.equal(hex(parseRecord(text).leaf) === leaf, text === GOOD));
      assert.ok(refused === undefined || refused === 'malformed');
    }
  }
  assert.ok(utf8(GOOD).length === GOOD.length);
});
