// SPDX-License-Identifier: GPL-3.0-or-later
// Batch notes, checkpoints and proofs are C2SP's, in one form each.

import assert from 'node:assert/strict';
import test from 'node:test';

import { parseBatch } from '../src/verifier/batch.js';
import { parseCheckpoint, parseProof } from '../src/verifier/checkpoint.js';
import { fromBase64 } from '../src/verifier/bytes.js';
import { holds, isLineOf, keyIdOf, parseNote } from '../src/verifier/note.js';
import { refusal, vectorJson } from './support.js';

const { note: NOTE, key, proof: PROOF } = vectorJson('evidence/four-validators.json').batches[0];
const KEY = fromBase64(key);
const CHECKPOINT = parseProof(PROOF).checkpoint;
const LINE = `${CHECKPOINT.split('\n').at(-2)}\n`;
const HASH = `${'A'.repeat(43)}=`;

/** Each [old, new] of `text`, refused as malformed. @param {string} text @param {(text: string) => unknown} parse @param {[string|RegExp, string][]} changes */
function refuses(text, parse, changes) {
  assert.equal(refusal(() => parse(text)), undefined);
  for (const [old, now] of changes) {
    const changed = text.replace(old, () => now);
    assert.notEqual(changed, text, String(old));
    assert.equal(refusal(() => parse(changed)), 'malformed', `${old} ${now}`);
  }
}

test('a batch note has its lines, in their order, and one signature', () => {
  refuses(NOTE, parseBatch, [
    ['batch/v1', 'batch/v2'], ['log ', 'Log '], ['seq 1', 'seq 01'], ['seq 1', 'seq -1'], ['seq 1', 'seq 9007199254740992'], ['seq 1\n', ''], ['seq 1', 'seq 0'],
    ['seq 1', 'seq 1\nseq 1'], ['size 3', 'size 0'], ['size 3', 'size 4294967296'], ['size 3', 'size 3 '], ['time 1', 'time +1'], [/prev .*/, `prev ${HASH.slice(1)}`],
    [/root .*/, `root ${'A'.repeat(42)}B=`], [/codes .*/, 'codes '], ['2026/c6', '2027/c6'], ['/c6c7', '/c6c1'], ['/c6c7', '/C6c7'], ['log m', 'log '], ['log m', 'log m+'],
    ['\n\n', '\n'], ['\n\n', '\n\n\n'], ['— ', '- '], ['— ', '—  '], [/$/, '\n'], [/\n$/, ''], [/$/, LINE], [/— .*\n/, ''], ['c7c ', 'c7d '], [/=\n$/, '\n'], [/ [^ ]*\n$/, ' AAAAAAAB=\n'], [/ [^ ]*\n$/, ' AAAAAA==\n'],
  ]);
  assert.equal(refusal(() => parseBatch(NOTE.replace('size 3', 'size 4294967295'))), undefined);
  assert.equal(refusal(() => parseBatch(NOTE.replace('seq 1', 'seq 0').replace(/prev .*/, `prev ${HASH}`))), undefined);
  assert.equal(refusal(() => parseBatch(NOTE.replaceAll('moneo.example', 'm'.repeat(256)))), 'malformed');
});

test('what a note says is read', () => {
  const { id, log, issuer, seq, time, size } = parseBatch(NOTE);
  assert.deepEqual([log, seq, time, size], ['moneo.example/camau/2026', 1, 1790000540, 3]);
  assert.equal(issuer.length, log.length + 17);
  assert.equal(id, 'kg3LtbhjAGzZ6kNkdJnThUJ2bCaTnTGi2eshaw99jkk');
});

test('only the key named opens a note', async () => {
  const { text, signatures } = parseNote(NOTE);
  const [line] = signatures;
  assert.ok(isLineOf(line, line.name, KEY) && (await holds(line, text, KEY)));
  assert.deepEqual(line.keyId, keyIdOf(line.name, KEY).subarray(0, 4));
  assert.ok(!isLineOf(line, `${line.name}x`, KEY) && !isLineOf(line, line.name, KEY.slice().reverse()));
  assert.ok(!(await holds(line, `${text} `, KEY)) && !(await holds({ ...line, signature: line.signature.subarray(1) }, text, KEY)));
});

test('a proof has a title, an index, a path and a checkpoint that is not read', () => {
  refuses(PROOF, parseProof, [
    ['proof@v1', 'proof@v2'], ['index 1', 'index 01'], ['index 1', 'index 9007199254740992'], ['index 1', 'extra AAAA\nindex 1'], ['index 1', `index 1\n${`${HASH}\n`.repeat(53)}`.slice(0, -1)],
    [/=\n\n/, '\n\n'], ['index', 'Index'], [/\n\n/g, '\n'], [/^/, '\n'],
  ]);
  assert.equal(parseProof(PROOF.replace('index 1', `index 1\n${`${HASH}\n`.repeat(52)}`.slice(0, -1))).path.length, 53);
  assert.equal(parseProof('c2sp.org/tlog-proof@v1\nindex 0\n\nanything').origin, 'anything');
});

test('a checkpoint has three lines and 1 to 64 signatures of different keys', () => {
  const witnesses = (/** @type {number} */ count) => Array.from({ length: count }, (_, i) => `— witness/${i} ${Buffer.alloc(8).toString('base64')}\n`).join('');
  refuses(CHECKPOINT, parseCheckpoint, [
    ['\n2\n', '\n02\n'], ['\n2\n', '\n9007199254740992\n'], ['\n2\n', '\n2\nmore\n'], ['\n2\n', '\n'], ['\n2\n', '\n0\n'], ['=\n\n', '\n\n'], [/^m/, 'à'], [/^m/, 'm m'], [/$/, LINE],
    [/$/, witnesses(64)], [/$/, '— a AAAAAA==\n'], [/$/, `— a ${'AAAA'.repeat(2049)}\n`], [/$/, '— a+b AAAAAAAA\n'], [/$/, '— a b AAAAAAAA\n'], [/$/, '— a AAAAAAAB=\n'], [/$/, `— ${'a'.repeat(257)} AAAAAAAA\n`],
    [LINE, ''], [/\n$/, ''], [/\n\n/, '\n'],
  ]);
  const most = parseCheckpoint(`${CHECKPOINT}${witnesses(63)}`);
  assert.deepEqual([most.size, most.signatures.length], [2, 64]);
  assert.equal(parseCheckpoint(`${CHECKPOINT}— a ${'AAAA'.repeat(2048)}\n`).signatures.length, 2);
});
