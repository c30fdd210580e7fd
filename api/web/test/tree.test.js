// SPDX-License-Identifier: GPL-3.0-or-later
// Trees of RFC 9162: roots by its own definition, and every path of every small tree.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';

import { equal, hex, utf8 } from '../src/verifier/bytes.js';
import { leafHash, nodeHash, rootFromPath, rootOf, sha256 } from '../src/verifier/tree.js';
import { refusal } from './support.js';

const LEAVES = Array.from({ length: 40 }, (_, i) => leafHash(utf8(`leaf ${i}`)));

/** MTH of RFC 9162 §2.1.1, word for word. @param {Uint8Array[]} leaves @returns {Uint8Array} */
function defined(leaves) {
  if (leaves.length === 1) return leaves[0];
  const k = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return nodeHash(defined(leaves.slice(0, k)), defined(leaves.slice(k)));
}

/** PATH of RFC 9162 §2.1.3.1. @param {number} m @param {Uint8Array[]} leaves @returns {Uint8Array[]} */
function path(m, leaves) {
  if (leaves.length === 1) return [];
  const k = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return m < k
    ? [...path(m, leaves.slice(0, k)), defined(leaves.slice(k))]
    : [...path(m - k, leaves.slice(k)), defined(leaves.slice(0, k))];
}

test('hashes have their prefixes', () => {
  const node = (/** @type {(string|Buffer)[]} */ ...parts) =>
    parts.reduce((h, part) => h.update(part), createHash('sha256')).digest('hex');
  assert.equal(hex(rootOf([])), node());
  assert.equal(hex(leafHash(utf8('a'))), node('\0a'));
  assert.equal(hex(nodeHash(LEAVES[0], LEAVES[1])), node('\x01', Buffer.from(LEAVES[0]), Buffer.from(LEAVES[1])));
  assert.equal(hex(sha256(utf8('a'), utf8('b'))), node('ab'));
});

test('roots and paths are those of the standard, and no other path leads anywhere', () => {
  for (let size = 1; size <= LEAVES.length; size++) {
    const leaves = LEAVES.slice(0, size);
    const root = rootOf(leaves);
    assert.deepEqual(root, defined(leaves));
    for (let index = 0; index < size; index++) {
      const proof = path(index, leaves);
      assert.deepEqual(rootFromPath(leaves[index], index, size, proof), root);
      const leads = (/** @type {number} */ at, /** @type {Uint8Array[]} */ by) => () =>
        equal(rootFromPath(leaves[index], at, size, by), root);
      assert.equal(refusal(leads(index, [...proof, root])), 'invalid');
      if (proof.length) assert.equal(refusal(leads(index, proof.slice(1))), 'invalid');
      if (index) assert.ok(refusal(leads(index - 1, proof)) || !leads(index - 1, proof)());
    }
    assert.equal(refusal(() => rootFromPath(leaves[0], size, size, [])), 'invalid');
  }
  assert.equal(refusal(() => rootFromPath(LEAVES[0], 0, 0, [])), 'invalid');
});

test('sizes beyond 2^53 are exact', () => {
  const size = 2n ** 63n + 1n;
  assert.deepEqual(rootFromPath(LEAVES[0], size - 1n, size, [LEAVES[1]]), nodeHash(LEAVES[1], LEAVES[0]));
  assert.equal(refusal(() => rootFromPath(LEAVES[0], size - 2n, size, [LEAVES[1]])), 'invalid');
});
