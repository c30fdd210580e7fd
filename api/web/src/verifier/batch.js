// SPDX-License-Identifier: GPL-3.0-or-later
// Batch notes: what a business signs of the records that it submits together (docs/evidence.md, “batches”).

import { base64url, utf8 } from './bytes.js';
import { check } from './errors.js';
import { decimal, hash, isName, parseNote } from './note.js';
import { sha256 } from './tree.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/**
 * @typedef {{text: string, signature: import('./note.js').Signature, id: string, log: string, issuer: string, seq: number,
 *   prev: Bytes, time: number, size: number, root: Bytes, codes: Bytes}} Batch
 */

const TITLE = 'moneo/batch/v1';
const NAMES = ['log', 'issuer', 'seq', 'prev', 'time', 'size', 'root', 'codes'];
const MAX_SIZE = 2 ** 32 - 1;
const ISSUER_ID = /^\/[a-z2-7]{16}$/;

/** Reads a signed batch note. Throws `Refused('malformed')`. @param {string} note @returns {Batch} */
export function parseBatch(note) {
  const { text, signatures } = parseNote(note);
  const [log, issuer, seq, prev, time, size, root, codes] = values(text);
  check(isName(log) && isName(issuer), 'malformed', 'batch: no name of a log or an issuer');
  const ofLog = issuer.startsWith(log) && ISSUER_ID.test(issuer.slice(log.length));
  check(ofLog, 'malformed', "batch: the issuer is none of the note's log");
  check(signatures.length === 1 && signatures[0].name === issuer, 'malformed', "batch: not one signature, the issuer's");
  const batch = {
    text,
    signature: signatures[0],
    id: base64url(sha256(utf8(text))),
    log,
    issuer,
    seq: decimal(seq),
    prev: hash(prev),
    time: decimal(time),
    size: decimal(size, 1, MAX_SIZE),
    root: hash(root),
    codes: hash(codes),
  };
  check(batch.seq > 0 || batch.prev.every((byte) => byte === 0), 'malformed', 'batch: the first has one before it');
  return batch;
}

/** What stands after each line's name. @param {string} text */
function values(text) {
  const [title, ...lines] = text.slice(0, -1).split('\n');
  const named = lines.length === NAMES.length && lines.every((line, i) => line.startsWith(`${NAMES[i]} `));
  check(title === TITLE && named, 'malformed', 'no batch note');
  return lines.map((line, i) => line.slice(NAMES[i].length + 1));
}
