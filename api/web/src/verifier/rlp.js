// SPDX-License-Identifier: GPL-3.0-or-later
// Ethereum's RLP (Yellow Paper, appendix B), in its one canonical spelling.

import { check } from './errors.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {import('./errors.js').Kind} Kind */
/** @typedef {Bytes|Item[]} Item a byte string or a list */

const MAX_DEPTH = 16; // of lists within each other: bytes that are nothing but beginnings of lists end here

// Each string of one byte, and the empty one: hostile bytes may hold a million of them, and a view takes its time.
const BYTES = Array.from({ length: 257 }, (_, byte) => Uint8Array.from(byte < 256 ? [byte] : []));

/**
 * Reads one item that fills `bytes`. Throws `Refused` of `kind`.
 * @param {Bytes} bytes @param {Kind} kind @returns {Item}
 */
export function decode(bytes, kind) {
  const items = sequence(bytes, 0, bytes.length, kind, 0);
  check(items.length === 1, kind, 'RLP: not one item');
  return items[0];
}

/** The encoded length of an item. @param {Item} item @returns {number} */
export function encodedLength(item) {
  if (!Array.isArray(item)) return item.length === 1 && item[0] < 0x80 ? 1 : withPrefix(item.length);
  return withPrefix(item.reduce((sum, each) => sum + encodedLength(each), 0));
}

/**
 * An integer of at most `most` bytes, big-endian without zeros in front. Throws `Refused` of `kind`.
 * @param {Item} item @param {number} most @param {Kind} kind
 */
export function integer(item, most, kind) {
  check(!Array.isArray(item) && item.length <= most && item[0] !== 0, kind, `RLP: no integer of ${most} bytes`);
  return item.reduce((n, byte) => (n << 8n) | BigInt(byte), 0n);
}

/**
 * @param {Bytes} bytes @param {number} at @param {number} end @param {Kind} kind
 * @param {number} depth of the lists around @returns {Item[]}
 */
function sequence(bytes, at, end, kind, depth) {
  check(depth <= MAX_DEPTH, kind, 'RLP: too deep');
  const items = [];
  while (at < end) {
    const first = bytes[at++];
    const list = first >= 0xc0;
    let length = first < 0x80 ? 1 : first - (list ? 0xc0 : 0x80);
    if (first < 0x80) at--;
    if (length > 55) {
      const digits = bytes.subarray(at, Math.min(at + length - 55, end));
      at += length - 55;
      length = long(digits, kind);
    }
    check(length <= end - at, kind, 'RLP: cut off');
    check(first < 0x80 || list || length !== 1 || bytes[at] >= 0x80, kind, 'RLP: a small byte as a string');
    items.push(list ? sequence(bytes, at, at + length, kind, depth + 1) : string(bytes, at, length));
    at += length;
  }
  return items;
}

/** A length of its own bytes; those cut off are found to be so afterwards. @param {Bytes} digits @param {Kind} kind */
function long(digits, kind) {
  const length = digits.reduce((n, byte) => n * 256 + byte, 0);
  check(digits[0] !== 0 && length > 55, kind, 'RLP: a length that is too long');
  return length;
}

/** @param {Bytes} bytes @param {number} at @param {number} length */
const string = (bytes, at, length) =>
  length > 1 ? bytes.subarray(at, at + length) : BYTES[length ? bytes[at] : 256];

/** @param {number} length of a payload */
function withPrefix(length) {
  let prefix = 1;
  for (let rest = length > 55 ? length : 0; rest; rest = Math.floor(rest / 256)) prefix++;
  return prefix + length;
}
