// SPDX-License-Identifier: GPL-3.0-or-later
// A log's checkpoint (C2SP tlog-checkpoint.md) and the proof that an entry lies in it (C2SP tlog-proof.md).

import { equal, hex } from './bytes.js';
import { check } from './errors.js';
import { decimal, hash, isName, parseNote } from './note.js';
import { rootOf } from './tree.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {import('./note.js').Note & {origin: string, size: number, root: Bytes}} Checkpoint */
/** `origin` is the first line of the checkpoint, which is not read yet. @typedef {{index: number, path: Bytes[], origin: string, checkpoint: string}} Proof */

const PROOF = 'c2sp.org/tlog-proof@v1';
const INDEX = 'index ';
const [MAX_PATH, MAX_SIGNATURES] = [53, 64];

/** Reads a proof without `extra` line. Throws `Refused('malformed')`. @param {string} text @returns {Proof} */
export function parseProof(text) {
  const end = text.indexOf('\n\n');
  const [title, index, ...path] = text.slice(0, Math.max(end, 0)).split('\n');
  check(title === PROOF && index?.startsWith(INDEX) && path.length <= MAX_PATH, 'malformed', 'no tlog-proof');
  const checkpoint = text.slice(end + 2);
  const [origin] = checkpoint.split('\n', 1);
  return { index: decimal(index.slice(INDEX.length)), path: path.map(hash), origin, checkpoint };
}

/** Reads a signed checkpoint. Throws `Refused('malformed')`. @param {string} text @returns {Checkpoint} */
export function parseCheckpoint(text) {
  const note = parseNote(text);
  const [origin, size, root, ...more] = note.text.slice(0, -1).split('\n');
  check(isName(origin) && root !== undefined && !more.length, 'malformed', 'checkpoint: not three lines');
  const names = new Set(note.signatures.map(({ name, keyId }) => `${name} ${hex(keyId)}`));
  check(note.signatures.length <= MAX_SIGNATURES, 'malformed', `checkpoint: more than ${MAX_SIGNATURES} signatures`);
  check(names.size === note.signatures.length, 'malformed', 'checkpoint: a key that signs twice');
  const checkpoint = { ...note, origin, size: decimal(size), root: hash(root) };
  check(checkpoint.size > 0 || equal(checkpoint.root, rootOf([])), 'malformed', 'checkpoint: no empty log has this root');
  return checkpoint;
}
