// SPDX-License-Identifier: GPL-3.0-or-later
// The one rule: the same answer by WebCrypto and by points, on what libraries disagree about.

import assert from 'node:assert/strict';
import test from 'node:test';

import { ED25519_TORSION_SUBGROUP, ed25519 } from '@noble/curves/ed25519.js';
import { sha512 } from '@noble/hashes/sha2.js';

import { concat, fromBase64, utf8 } from '../src/verifier/bytes.js';
import { KNOWN_ANSWERS, byPoints, keyIsUsable, verifySignature } from '../src/verifier/ed25519.js';

const { Point } = ed25519;
const L = Point.Fn.ORDER;
const P = Point.Fp.ORDER;
const MESSAGE = utf8('moneo');
const TORSION = ED25519_TORSION_SUBGROUP.map((point) => Point.fromHex(point));

/** @param {bigint} n */
const bytes = (n) => Uint8Array.from(Buffer.from(n.toString(16).padStart(64, '0'), 'hex').reverse());
/** @param {Uint8Array} data */
const integer = (data) => BigInt(`0x${Buffer.from(data).reverse().toString('hex')}`);
/** @param {number} seed */
const scalar = (seed) => integer(sha512(utf8(`scalar ${seed}`))) % L;

/**
 * Key a·B + the torsion, R r·B + the torsion; holds with the cofactor.
 * @param {number} seed @param {number} ofKey @param {number} ofR
 */
function signed(seed, ofKey, ofR) {
  const key = Point.BASE.multiply(scalar(1)).add(TORSION[ofKey]).toBytes();
  const r = Point.BASE.multiply(scalar(seed)).add(TORSION[ofR]);
  const k = integer(sha512(concat(r.toBytes(), key, MESSAGE))) % L;
  const s = (scalar(seed) + k * scalar(1)) % L;
  const exact = TORSION[ofR].add(TORSION[ofKey].multiplyUnsafe(k)).is0();
  return { key, signature: concat(r.toBytes(), bytes(s)), exact };
}

test('known answers, by points as well', async () => {
  for (const [key, signature, holds] of KNOWN_ANSWERS) {
    assert.equal(byPoints(fromBase64(key), MESSAGE, fromBase64(signature)), holds);
    assert.equal(await verifySignature(fromBase64(key), MESSAGE, fromBase64(signature)), holds);
  }
});

test('torsion in key or R holds only where the equation does without cofactor', async () => {
  const seen = { true: 0, false: 0 };
  for (let seed = 2; seed < 10; seed++) {
    for (let torsion = 0; torsion < 64; torsion += 7) {
      const { key, signature, exact } = signed(seed, torsion >> 3, torsion & 7);
      assert.equal(await verifySignature(key, MESSAGE, signature), exact);
      assert.equal(byPoints(key, MESSAGE, signature), exact);
      assert.ok(ed25519.verify(signature, MESSAGE, key), 'a library with cofactor takes it');
      seen[exact ? 'true' : 'false']++;
    }
  }
  assert.ok(seen.true > 3 && seen.false > 3);
});

test('keys and R of small order or another spelling are refused by their bytes', async () => {
  const { key, signature } = signed(2, 0, 0);
  assert.ok(keyIsUsable(key));
  const small = TORSION.map((point) => point.toBytes());
  const signs = small.map((point) => Uint8Array.from(point, (byte, i) => (i === 31 ? byte ^ 128 : byte)));
  const late = Array.from({ length: 19 }, (_, i) => bytes(P + BigInt(i)));
  const lateWithSigns = late.map((point) => bytes(integer(point) | (1n << 255n)));
  for (const bad of [...small, ...signs, ...late, ...lateWithSigns, new Uint8Array(31), new Uint8Array(33)]) {
    assert.ok(!keyIsUsable(bad));
    assert.equal(await verifySignature(bad, MESSAGE, signature), false);
    assert.equal(await verifySignature(key, MESSAGE, concat(bad, signature.subarray(32))), false);
  }
  const identity = bytes(1n);
  assert.equal(await verifySignature(identity, MESSAGE, concat(identity, new Uint8Array(32))), false);
  // R = identity under a real key, S = k·a: the equation holds, and only the rule on R refuses it.
  const k = integer(sha512(concat(identity, key, MESSAGE)));
  assert.equal(await verifySignature(key, MESSAGE, concat(identity, bytes((k * scalar(1)) % L))), false);
});

test('S is below the order, everything has its length, a key off the curve signs nothing', async () => {
  const { key, signature } = signed(2, 0, 0);
  assert.ok(await verifySignature(key, MESSAGE, signature));
  const r = signature.subarray(0, 32);
  for (const s of [integer(signature.subarray(32)) + L, L, 2n ** 256n - 1n]) {
    assert.equal(await verifySignature(key, MESSAGE, concat(r, bytes(s))), false);
  }
  assert.equal(await verifySignature(key, MESSAGE, concat(r, bytes(0n))), false);
  assert.equal(byPoints(key, MESSAGE, concat(r, bytes(0n))), false);
  for (const bad of [signature.subarray(1), concat(signature, Uint8Array.of(0)), new Uint8Array()]) {
    assert.equal(await verifySignature(key, MESSAGE, bad), false);
  }
  const noPoint = bytes(2n);
  assert.ok(keyIsUsable(noPoint));
  assert.throws(() => Point.fromBytes(noPoint));
  assert.equal(await verifySignature(noPoint, MESSAGE, signature), false);
  assert.equal(await verifySignature(key, MESSAGE, concat(noPoint, signature.subarray(32))), false);
});

test('WebCrypto judges only where it keeps the rule, and is not missed where it is not', async (t) => {
  const all = [0, 1, 3].flatMap((torsion) => [signed(5, torsion, 0), signed(6, 0, torsion)]);
  const lax = async () => true;
  const missing = () => {
    throw new DOMException('Unrecognized name', 'NotSupportedError');
  };
  for (const [name, verify] of /** @type {[string, any][]} */ ([['lax', lax], ['missing', missing], ['real', undefined]])) {
    await t.test(name, async () => {
      const mock = verify && t.mock.method(crypto.subtle, 'verify', verify);
      const fresh = await import(`../src/verifier/ed25519.js?${name}`);
      for (const { key, signature, exact } of all) {
        assert.equal(await fresh.verifySignature(key, MESSAGE, signature), exact);
      }
      if (mock) assert.ok(mock.mock.callCount() <= KNOWN_ANSWERS.length, 'asked for the known answers only');
      mock?.mock.restore();
    });
  }
});
