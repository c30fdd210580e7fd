// SPDX-License-Identifier: GPL-3.0-or-later
// What the verifier throws, and nothing else, whatever bytes it is given.

/**
 * Why evidence is not proven; docs/evidence.md, “The verdict”.
 * @typedef {'malformed'|'too-large'|'newer'|'invalid'|'untrusted'|'mismatch'} Kind
 */

/** Evidence that is refused, of one kind; becomes the verdict's failure and never leaves `verify`. */
export class Refused extends Error {
  /** @param {Kind} kind @param {string} detail */
  constructor(kind, detail) {
    super(detail);
    this.name = 'Refused';
    this.kind = kind;
  }
}

/** A trust file that no verdict can be given by. */
export class TrustError extends Error {
  name = 'TrustError';
}

/** The code asked for is none. */
export class CodeError extends Error {
  name = 'CodeError';
}

/**
 * Throws `Refused` of this kind unless the condition holds.
 * @param {unknown} condition @param {Kind} kind @param {string} detail
 * @returns {asserts condition}
 */
export function check(condition, kind, detail) {
  if (!condition) throw new Refused(kind, detail);
}
