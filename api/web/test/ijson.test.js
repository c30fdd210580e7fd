// SPDX-License-Identifier: GPL-3.0-or-later
// I-JSON: what JSON.parse lets through and RFC 7493 does not.

import assert from 'node:assert/strict';
import test from 'node:test';

import { utf8 } from '../src/verifier/bytes.js';
import * as ijson from '../src/verifier/ijson.js';
import { LINEAR, refusal, timed, vector } from './support.js';

/** @param {string} text @param {number} [depth] */
const parse = (text, depth) => ijson.parse(utf8(text), depth);
/** @param {string} text */
const plain = (text) => ijson.toJson(parse(text));

test('what is I-JSON reads as JSON.parse reads it', () => {
  for (const name of ['evidence/journey-of-two-businesses', 'evidence/spaces-and-other-order', 'light-blocks']) {
    const bytes = vector(`${name}.json`);
    assert.deepEqual(ijson.toJson(ijson.parse(bytes)), JSON.parse(new TextDecoder().decode(bytes)));
  }
  const texts = [
    'null', ' true\t', '\r\n false', '0', '-0', '-1.5e-3', '1E+2', '0.0', '9007199254740991', '-9007199254740991',
    '""', '[]', '{}',
    '[1,[2,{"a":[]}]]', '{"":1,"__proto__":2,"constructor":3,"1":4}', '"\\u0000\\b\\f\\n\\r\\t\\/\\\\\\""',
    '"é\\u00E9\\ud83d\\ude00😀"',
    '"\u2028\u007f\ufeff"', '1e-400',
  ];
  for (const text of texts) assert.equal(JSON.stringify(plain(text)), JSON.stringify(JSON.parse(text)), text);
});

test('what is not is malformed', () => {
  const texts = [
    '', ' ', '\ufeff{}', '{} {}', '[1,]', '[,1]', '[1 2]', '{"a":1,}', '{"a" 1}', '{a:1}', "{'a':1}", '{"a":}',
    '{1:1}', '[', '{', '{"a"', '{"a":',
    '"', '"\\', '"\\"', '"\\x"', '"\\u12"', '"\\u12g4"', '"\\U0041"', '"\n"', '"\u0000"', '"\u001f"', 'nul', 'True',
    'NaN', 'Infinity', '-Infinity', '-',
    '+1', '01', '-01', '.5', '5.', '1.e1', '1e', '1e+', '0x1', '1_0', '１', '\u00a01', '\u000b1', '1//', '/**/1',
    '9007199254740992', '-9007199254740992', '9007199254740992.0', '1e16', '1e999', '-1e999', '9'.repeat(5000),
    '{"a":1,"a":1}', '{"a":1,"\\u0061":1}', '{"é":1,"\\u00e9":1}', '[{"b":{"a":1,"a":2}}]',
    '"\\ud800"', '"\\udc00"', '"\\udc00\\ud800"', '"\\ud800x"', '"\\ud800\\ud800\\udc00"', '{"\\ud800":1}',
    '"\ufdd0"', '"\ufdef"', '"\ufffe"', '"\\uffff"', '"\\uFDD0"', '"\u{1fffe}"', '"\\ud83f\\udfff"', '"\u{10ffff}"',
    '{"\ufffe":1}',
  ];
  for (const text of texts) assert.equal(refusal(() => parse(text)), 'malformed', JSON.stringify(text.slice(0, 40)));
  for (const digits of ['22ff22', '22c08022', '22eda08022', '22c322', 'fffe3100']) {
    assert.equal(refusal(() => ijson.parse(Buffer.from(digits, 'hex'))), 'malformed', digits);
  }
  for (const text of ['"\ufdcf\ufdf0\ufffd"', '"\u{1fffd}"', '"\ue000"']) assert.equal(plain(text), JSON.parse(text));
});

test('eight containers within each other are the most, sixteen where it is said', () => {
  assert.ok(parse('['.repeat(8) + ']'.repeat(8)));
  assert.equal(refusal(() => parse('['.repeat(9) + ']'.repeat(9))), 'malformed');
  assert.equal(refusal(() => parse('{"a":'.repeat(9) + '1' + '}'.repeat(9))), 'malformed');
  assert.ok(parse('['.repeat(16) + ']'.repeat(16), 16));
  assert.equal(refusal(() => parse('['.repeat(17) + ']'.repeat(17), 16)), 'malformed');
});

test('a natural is written as an integer', () => {
  for (const [text, n] of /** @type {[string, number][]} */ ([['0', 0], ['-0', 0], ['9007199254740991', 2 ** 53 - 1]])) {
    assert.ok(Object.is(ijson.natural(parse(text), 'n'), n), text);
  }
  for (const text of ['1.0', '1e0', '0.0', '-0.0', '-1', 'true', '"1"', 'null', '[]', '{}']) {
    assert.equal(refusal(() => ijson.natural(parse(text), 'n')), 'malformed', text);
  }
  assert.equal(refusal(() => ijson.natural(4, 'n', 3)), 'malformed');
});

test('shapes: names before values, lengths by bytes of UTF-8', () => {
  assert.deepEqual(ijson.members(parse('{"b":1,"a":2}'), ['a', 'b'], 'it'), [2, 1]);
  for (const text of ['{"a":1}', '{"a":1,"b":2,"c":3}', '{"a":1,"c":2}', '[]', 'null']) {
    assert.equal(refusal(() => ijson.members(parse(text), ['a', 'b'], 'it')), 'malformed', text);
  }
  assert.equal(refusal(() => ijson.list([], 'it', { least: 1, most: 2 })), 'malformed');
  assert.equal(refusal(() => ijson.list([1, 2, 3], 'it', { most: 2 })), 'too-large');
  assert.equal(refusal(() => ijson.list([1, 2, 3], 'it', { most: 2, beyond: 'malformed' })), 'malformed');
  assert.equal(ijson.text('éé', 'it', 4), 'éé');
  assert.equal(refusal(() => ijson.text('ééa', 'it', 4)), 'too-large');
  assert.equal(refusal(() => ijson.text('', 'it', 4)), 'malformed');
  assert.equal(refusal(() => ijson.blob('AAAA', 'it', 2)), 'too-large');
  assert.deepEqual(ijson.blob('', 'it', 2), new Uint8Array());
  assert.equal(refusal(() => ijson.fixed('AAAA', 'it')), 'malformed');
  assert.equal(refusal(() => ijson.fixedHex('0x00', 'it', 20)), 'malformed');
});

test('a mebibyte of anything is judged in time that grows as it does', () => {
  const size = 2 ** 20;
  /** @param {string} piece @param {string} [before] @param {string} [after] */
  const filled = (piece, before = '', after = '') => before + piece.repeat(size / utf8(piece).length) + after;
  const texts = [
    filled('['), filled('{"a":'), filled('1,', '[', '1]'), filled('"a",', '[', '0]'), filled('\\n', '"', '"'),
    filled('\\u0041', '"', '"'), filled('9'), filled('9', '0.'),
    filled('0', '1e'), filled(' '), filled('é', '"', '"'), filled('\\ud800', '"', '"'), filled('a', '"'),
    filled('{},', '[', '0]'), filled('-'),
    `{${Array.from({ length: size / 11 }, (_, i) => `"${String(i).padStart(6, '0')}":1`).join(',')}}`,
  ];
  for (const text of texts) {
    const bytes = utf8(text);
    const [, slow] = timed(() => refusal(() => ijson.parse(bytes)));
    assert.ok(slow < LINEAR, `${text.slice(0, 8)}… took ${slow} ms`);
  }
});
