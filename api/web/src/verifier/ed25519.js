// SPDX-License-Identifier: GPL-3.0-or-later
// Ed25519 by the one rule of docs/evidence.md: canonical A and R, none of small order, S < L, no cofactor.
//
// Libraries differ in what they take: some check 8·S·B = 8·R + 8·k·A, some decode what is not canonical. So the bytes
// are looked at first, and WebCrypto, which is several times faster, judges the rest only where it has judged
// signatures of those sorts as the rule does; elsewhere the equation is checked over the curve's points.

import { ED25519_TORSION_SUBGROUP, ed25519 } from '@noble/curves/ed25519.js';
import { sha512 } from '@noble/hashes/sha2.js';

import { concat, equal, fromBase64, hex, utf8 } from './bytes.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */

const { Point } = ed25519;
const P = Point.Fp.ORDER;
const L = Point.Fn.ORDER;
const SIGN = 1n << 255n;
const SMALL_ORDER = new Set(ED25519_TORSION_SUBGROUP.map((point) => Point.fromHex(point).toAffine().y));

const MESSAGE = utf8('moneo');
const KEY = '1htSa7vrTlgTVW19SA6Q9lkj/ri8ilkMSmMCSzFUPqM=';
const MIXED_KEY = 'YTsXVvfQN/7Up3ZFP/5oSsfmbnZzGvRWmb1gBJY+cFk='; // with a part of order 8
/** @type {[string, string, boolean][]} key, signature over MESSAGE, whether it holds */
export const KNOWN_ANSWERS = [
  [KEY, 'fRMsmwVyG+zDQlRKjeKg/dDnbawP5kXEFupgbrQ6eZQVCyf1TVI/89A1LQWa3+NyXW3AluBe4+Qe7kktK7mNAA==', true],
  // another's S
  [KEY, 'OzzBDbYyutllWY1EklRM07aPdyO6KvTcssTij50/oD/Cm1tVw4/Ml0XXXFzNB6RM/JbkVMTBGDT++8oeeS25Bw==', false],
  // R with a part of order 8: holds with the cofactor
  [KEY, 'wnN9159z1qLt3lzO4qC+rBlq/eNFgxcuzXNKKEqxuJ5jg+48p9L/MG0mWv5vsaXn0hO4i5EHaKHZJWzkp67xAg==', false],
  // k a multiple of 8
  [MIXED_KEY, '94BiyJi3eRESt9ZI2SkFm4Ke/A8EFboqtzy4B+6D0EgRJooeeWJsjBvbuR4RjvRM1q5E1IK6ald6ROct88r5BQ==', true],
  // k no multiple of 8: holds with the cofactor
  [MIXED_KEY, 'wRYMMKWwu3RelOzqx974z3n10q7ugXQ1r8axKm/sB8mHqCwG+c9l9dn2LJL2VwFNkWx2SCqmfRhnnzw+Lsy8Cw==', false],
];

/**
 * Whether a key, or the R of a signature, is canonical and none of the eight points of small order. It may be no
 * point of the curve: that shows when something is verified. (x = 0 only where y is 1 or -1, which are of small order.)
 * @param {Bytes} point
 */
export function keyIsUsable(point) {
  const y = point.length === 32 ? integer(point) & (SIGN - 1n) : P;
  return y < P && !SMALL_ORDER.has(y);
}

/**
 * Whether a signature holds; never throws.
 * @param {Bytes} publicKey @param {Bytes} message @param {Bytes} signature @returns {Promise<boolean>}
 */
export async function verifySignature(publicKey, message, signature) {
  if (signature.length !== 64 || !keyIsUsable(publicKey) || !keyIsUsable(signature.subarray(0, 32))) return false;
  if (integer(signature.subarray(32)) >= L) return false;
  native ??= keepsTheRule();
  return (await native)
    ? byWebCrypto(publicKey, message, signature).catch(() => byPoints(publicKey, message, signature))
    : byPoints(publicKey, message, signature);
}

/** Whether encode(S·B - k·A) = R. @param {Bytes} publicKey @param {Bytes} message @param {Bytes} signature */
export function byPoints(publicKey, message, signature) {
  const r = signature.subarray(0, 32);
  const k = integer(sha512(concat(r, publicKey, message))) % L;
  try {
    const kA = Point.fromBytes(publicKey).multiplyUnsafe(k);
    const sB = Point.BASE.multiplyUnsafe(integer(signature.subarray(32)));
    return equal(sB.subtract(kA).toBytes(), r);
  } catch {
    return false; // the key is no point
  }
}

/** @param {Bytes} publicKey @param {Bytes} message @param {Bytes} signature @returns {Promise<boolean>} */
async function byWebCrypto(publicKey, message, signature) {
  const [raw, data, signed] = [publicKey, message, signature].map((bytes) => new Uint8Array(bytes));
  const key = await crypto.subtle.importKey('raw', raw, 'Ed25519', false, ['verify']);
  return crypto.subtle.verify('Ed25519', key, signed, data);
}

/** @type {Promise<boolean>|undefined} whether WebCrypto may judge; asked once */
let native;

async function keepsTheRule() {
  try {
    const answers = KNOWN_ANSWERS.map(([key, signature]) =>
      byWebCrypto(fromBase64(key), MESSAGE, fromBase64(signature)),
    );
    return (await Promise.all(answers)).every((holds, i) => holds === KNOWN_ANSWERS[i][2]);
  } catch {
    return false; // no WebCrypto here (plain http, many in-app browsers), or without Ed25519
  }
}

/** @param {Bytes} bytes little-endian */
const integer = (bytes) => BigInt(`0x${hex(bytes.slice().reverse())}`);
