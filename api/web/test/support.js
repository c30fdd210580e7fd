// SPDX-License-Identifier: GPL-3.0-or-later
// What the verifier's tests share: the vectors, and what something is refused as.

import { readFileSync } from 'node:fs';

import { Refused } from '../src/verifier/errors.js';

const VECTORS = new URL('../../../tests/vectors/', import.meta.url);

/** @param {string} name below tests/vectors @returns {Uint8Array} */
export const vector = (name) => new Uint8Array(readFileSync(new URL(name, VECTORS)));

/** @param {string} name */
export const vectorJson = (name) => JSON.parse(new TextDecoder().decode(vector(name)));

/** The kind that something is refused as; undefined if it is not. Anything else thrown is a fault. @param {() => unknown} act */
export function refusal(act) {
  try {
    act();
  } catch (error) {
    if (error instanceof Refused) return error.kind;
    throw error;
  }
  return undefined;
}

/** Milliseconds in which a mebibyte is read, on a busy machine, unless time grows with the square of it. */
export const LINEAR = 20_000;

/** @template T @param {() => T} act @returns {[T, number]} what it gives, and in how many milliseconds */
export function timed(act) {
  const start = performance.now();
  const result = act();
  return [result, performance.now() - start];
}
