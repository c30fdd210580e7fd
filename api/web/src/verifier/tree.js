// SPDX-License-Identifier: GPL-3.0-or-later
// Merkle trees of RFC 9162 §2.1 over SHA-256: of batches, logs, CometBFT's headers and the chain's own blocks.

import { sha256 as hash } from '@noble/hashes/sha2.js';

import { concat } from './bytes.js';
import { check } from './errors.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */

/** @param {...Bytes} parts @returns {Bytes} */
export const sha256 = (...parts) => hash(parts.length === 1 ? parts[0] : concat(...parts));

/** @param {Bytes} data */
export const leafHash = (data) => sha256(Uint8Array.of(0), data);

/** @param {Bytes} left @param {Bytes} right */
export const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

/** Root over leaf hashes; of an empty tree the hash of nothing. @param {Bytes[]} leafHashes */
export function rootOf(leafHashes) {
  if (!leafHashes.length) return sha256();
  let level = leafHashes;
  while (level.length > 1) {
    // A node without a sibling goes up as it is: so the left subtree is always the greatest full one.
    level = level.flatMap((left, i) => (i % 2 ? [] : level[i + 1] ? [nodeHash(left, level[i + 1])] : [left]));
  }
  return level[0];
}

/**
 * The root to which an inclusion path leads (RFC 9162 §2.1.3.2), of exactly the length that index and size ask for.
 * Throws `Refused('invalid')`.
 * @param {Bytes} leaf hash @param {number|bigint} index @param {number|bigint} size @param {Bytes[]} path
 */
export function rootFromPath(leaf, index, size, path) {
  // Sizes go up to 2^64 and bit operations on numbers end at 2^32.
  let at = BigInt(index);
  let last = BigInt(size) - 1n;
  check(at <= last, 'invalid', 'no such leaf in a tree of this size');
  let root = leaf;
  for (const sibling of path) {
    check(last > 0n, 'invalid', 'inclusion path too long');
    if (at & 1n || at === last) {
      root = nodeHash(sibling, root);
      while (!(at & 1n) && at) [at, last] = [at >> 1n, last >> 1n];
    } else {
      root = nodeHash(root, sibling);
    }
    [at, last] = [at >> 1n, last >> 1n];
  }
  check(last === 0n, 'invalid', 'inclusion path too short');
  return root;
}
