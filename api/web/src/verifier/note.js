// SPDX-License-Identifier: GPL-3.0-or-later
// C2SP signed notes (signed-note.md) with Ed25519 keys: texts of whole lines, an empty line, signature lines.

import { equal, fromBase64, utf8 } from './bytes.js';
import { verifySignature } from './ed25519.js';
import { check } from './errors.js';
import { sha256 } from './tree.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {{name: string, keyId: Bytes, signature: Bytes}} Signature `keyId` is cut to its first 4 bytes */
/** @typedef {{text: string, signatures: Signature[]}} Note `text` ends in LF */

const NAME = /^[!-*,-~]{1,256}$/;
const DECIMAL = /^(?:0|[1-9][0-9]*)$/;
const SIGNATURE = /^— (\S+) (\S{8,8192})$/;
const [KEY_ID, LEAST_BYTES] = [4, 5];
const ED25519 = Uint8Array.of(0x0a, 1);

/**
 * Cuts a note whose text has no empty line. Throws `Refused('malformed')`.
 * @param {string} note @returns {Note}
 */
export function parseNote(note) {
  const end = note.indexOf('\n\n');
  const lines = note.slice(end + 2).split('\n');
  check(end > 0 && lines.pop() === '' && lines.length, 'malformed', 'no signed note');
  return { text: note.slice(0, end + 1), signatures: lines.map(parseSignature) };
}

/** Whether a text is a key's name, as an origin is. @param {string} text */
export const isName = (text) => NAME.test(text);

/** Not truncated. @param {string} name @param {Bytes} publicKey */
export const keyIdOf = (name, publicKey) => sha256(utf8(name), ED25519, publicKey);

/** Whether this is a key's own line, whatever its signature is worth. @param {Signature} line @param {string} name @param {Bytes} publicKey */
export const isLineOf = (line, name, publicKey) =>
  line.name === name && equal(line.keyId, keyIdOf(name, publicKey).subarray(0, KEY_ID));

/** @param {Signature} line @param {string} text @param {Bytes} publicKey */
export const holds = (line, text, publicKey) => verifySignature(publicKey, utf8(text), line.signature);

/** A number without leading zeros. Throws `Refused('malformed')`. @param {string} text @param {number} least @param {number} most */
export function decimal(text, least = 0, most = Number.MAX_SAFE_INTEGER) {
  const value = DECIMAL.test(text) ? Number(text) : NaN;
  check(value >= least && value <= most, 'malformed', `no decimal from ${least} to ${most}`);
  return value;
}

/** 32 bytes in base64. Throws `Refused('malformed')`. @param {string} text */
export function hash(text) {
  const bytes = fromBase64(text);
  check(bytes.length === 32, 'malformed', 'no hash');
  return bytes;
}

/** @param {string} line @returns {Signature} */
function parseSignature(line) {
  const match = SIGNATURE.exec(line);
  check(match && isName(match[1]), 'malformed', 'no signature line');
  const bytes = fromBase64(match[2]);
  check(bytes.length >= LEAST_BYTES, 'malformed', 'a signature line of too few bytes');
  return { name: match[1], keyId: bytes.subarray(0, KEY_ID), signature: bytes.subarray(KEY_ID) };
}
