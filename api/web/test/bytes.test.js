// SPDX-License-Identifier: GPL-3.0-or-later
// Encodings: one spelling for each value.

import assert from 'node:assert/strict';
import test from 'node:test';

import * as bytes from '../src/verifier/bytes.js';
import { refusal } from './support.js';

test('base64 and base64url are read as they are written, for every length and byte', () => {
  for (let length = 0; length < 300; length++) {
    const data = Uint8Array.from({ length }, (_, i) => (i * 7 + length * 31) & 255);
    const node = Buffer.from(data);
    assert.equal(bytes.base64(data), node.toString('base64'));
    assert.equal(bytes.base64url(data), node.toString('base64url'));
    assert.deepEqual(bytes.fromBase64(bytes.base64(data)), data);
    assert.deepEqual(bytes.fromBase64url(bytes.base64url(data)), data);
    assert.equal(bytes.hex(data), node.toString('hex'));
    assert.deepEqual(bytes.fromHex(`0x${bytes.hex(data)}`), data);
    assert.deepEqual(bytes.fromUpperHex(bytes.hex(data).toUpperCase()), data);
  }
});

test('another spelling is malformed', () => {
  const spellings = ['A', 'AA', 'AAA', 'AB==', 'AAB=', 'A===', '====', 'AA=A'];
  const others = ['AAAA=', 'AAAA====', 'AA-_', 'AA+ ', ' AAA', 'AAA\n', 'AAAé'];
  for (const text of [...spellings, ...others]) assert.equal(refusal(() => bytes.fromBase64(text)), 'malformed', text);
  for (const text of ['A', 'AB', 'AAB', 'AA==', 'AA+/', 'AAAAA', 'AA\u0141A']) {
    assert.equal(refusal(() => bytes.fromBase64url(text)), 'malformed', text);
  }
  for (const text of ['', '00', '0X00', '0x0', '0xAA', '0xg0', '0x 0']) {
    assert.equal(refusal(() => bytes.fromHex(text)), 'malformed', text);
  }
  for (const text of ['0', 'aa', '0x', 'G0']) assert.equal(refusal(() => bytes.fromUpperHex(text)), 'malformed', text);
});

test('bytes are joined and compared', () => {
  assert.deepEqual(bytes.concat(), new Uint8Array());
  assert.deepEqual(bytes.concat(Uint8Array.of(1), bytes.utf8('é')), Uint8Array.of(1, 0xc3, 0xa9));
  assert.ok(bytes.equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2)));
  assert.ok(!bytes.equal(Uint8Array.of(1, 2), Uint8Array.of(1)));
  assert.ok(!bytes.equal(Uint8Array.of(1), Uint8Array.of(2)));
});
