// SPDX-License-Identifier: GPL-3.0-or-later
// What evidence needs of the EVM: block headers, and where AnchorLog and IssuerRegistry hold what in their storage.

import { keccak_256 } from '@noble/hashes/sha3.js';

import { concat } from './bytes.js';
import { check } from './errors.js';
import * as rlp from './rlp.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {{hash: Bytes, stateRoot: Bytes, number: bigint, extraData: Bytes}} Header */

// The fields of a header by position: exactly so many bytes, an integer of up to so many, or any bytes.
/** @type {((field: rlp.Item) => unknown)[]} */
const FIELDS = [
  ...[32, 32, 20, 32, 32, 32, 256].map(exactly),
  ...[32, 8, 8, 8, 8].map(integer),
  bytes,
  ...[32, 8].map(exactly),
  integer(32),
];
const [STATE_ROOT, NUMBER, EXTRA_DATA] = [3, 8, 12];
const MOST_FIELDS = 32;

/** @param {...Bytes} parts @returns {Bytes} */
export const keccak256 = (...parts) => keccak_256(concat(...parts));

/** Reads a block header. Throws `Refused('malformed')`. @param {Bytes} encoded RLP @returns {Header} */
export function parseHeader(encoded) {
  const fields = rlp.decode(encoded, 'malformed');
  const many = Array.isArray(fields) && fields.length >= FIELDS.length && fields.length <= MOST_FIELDS;
  check(many, 'malformed', 'EVM header: not 16 to 32 fields');
  fields.forEach((field, i) => (FIELDS[i] ?? bytes)(field));
  return {
    hash: keccak256(encoded),
    stateRoot: bytes(fields[STATE_ROOT]),
    number: rlp.integer(fields[NUMBER], 8, 'malformed'),
    extraData: bytes(fields[EXTRA_DATA]),
  };
}

/** @param {rlp.Item} field */
function bytes(field) {
  check(!Array.isArray(field), 'malformed', 'EVM header: a list among the fields');
  return field;
}

/** @param {number} length @returns {(field: rlp.Item) => void} */
function exactly(length) {
  return (field) => check(bytes(field).length === length, 'malformed', `EVM header: a field of not ${length} bytes`);
}

/** @param {number} most @returns {(field: rlp.Item) => bigint} */
function integer(most) {
  return (field) => rlp.integer(field, most, 'malformed');
}

/** A value in 32 bytes, zeros in front. @param {number|Bytes} value natural, or at most 32 bytes */
export function word(value) {
  const padded = new Uint8Array(32);
  if (typeof value === 'number') new DataView(padded.buffer).setBigUint64(24, BigInt(value));
  else padded.set(value, 32 - value.length);
  return padded;
}

/** Where a mapping at `slot` holds a key (Vyper's order). @param {Bytes} slot @param {Bytes} key */
const entry = (slot, key) => keccak256(slot, word(key));

/** The slot of a log's head in AnchorLog. @param {Bytes} origin its hash */
export const headSlot = (origin) => entry(word(0), origin);

/** The slot of an issuer in IssuerRegistry. @param {Bytes} owner @param {Bytes} keyId */
export const issuerSlot = (owner, keyId) => entry(entry(word(0), owner), keyId);

/** What a slot holds: K256(abi.encode(values)), each a word. @param {...(number|Bytes)} values */
export const commitment = (...values) => keccak256(...values.map(word));
