// SPDX-License-Identifier: GPL-3.0-or-later
// Reads evidence files, `moneo/evidence/v1`, in the order of docs/evidence.md (“Evidence file”): the first fault decides.

import { base64, hex } from './bytes.js';
import { parseBatch } from './batch.js';
import { readLightBlock } from './cometbft.js';
import { parseProof } from './checkpoint.js';
import { check } from './errors.js';
import { parseHeader } from './evm.js';
import { blob, fixed, fixedHex, list, members, natural, parse, text } from './ijson.js';
import { parseRecord } from './record.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {import('./ijson.js').Value} Value */
/** @typedef {import('./record.js').Shown} Shown */
/** @typedef {import('./cometbft.js').LightBlock} LightBlock */
/** @typedef {'holder'|'operator'} Custody */

/** @typedef {ReturnType<typeof readRecord> & {shown: Shown}} EvidenceRecord */
/**
 * @typedef {Omit<RawBatch, 'issuer'|'proof'> & {statement: import('./batch.js').Batch, proof: import('./checkpoint.js').Proof,
 *   issuer: {custody: Custody, registered: number, revoked: number, registration: Shown}}} EvidenceBatch
 */
/**
 * @typedef {Omit<RawAnchor, 'header'|'newer'> & {header: import('./evm.js').Header, newer: import('./evm.js').Header|null}} EvidenceAnchor
 */
/** @typedef {{lightBlocks: LightBlock[], eras: LightBlock[]}} Blocks */
/** @typedef {Blocks & {records: EvidenceRecord[], batches: EvidenceBatch[], anchors: EvidenceAnchor[]}} Evidence */
/** @typedef {Blocks & {records: ReturnType<typeof readRecord>[], batches: RawBatch[], anchors: RawAnchor[]}} Raw before step 5 of reading */
/** @typedef {ReturnType<typeof readBatch>} RawBatch */
/** @typedef {ReturnType<typeof readAnchor>} RawAnchor */

const KIB = 1024;
const [FAMILY, FORMAT] = ['moneo/evidence/', 'moneo/evidence/v1'];
const FINALITY = 'cometbft-0.38';
export const MAX_BYTES = KIB * KIB;
const [MAX_RECORDS, MAX_BATCHES, MAX_ANCHORS, MAX_LIGHT_BLOCKS, MAX_SIGNATURES] = [1000, 256, 256, 32, 512];
const [MAX_PATH, MAX_ANCESTRY] = [32, 53];
const [MAX_RECORD, MAX_NOTE, MAX_PROOF] = [64 * KIB, 4 * KIB, 32 * KIB];
const [MAX_HEADER, MAX_NODE, MAX_NODES] = [2 * KIB, KIB, 1024];
const MAX_INDEX = 2 ** 32 - 2;

/** Throws `Refused`. @param {Bytes} bytes @returns {Evidence} */
export function readEvidence(bytes) {
  check(bytes.length <= MAX_BYTES, 'too-large', 'evidence file: more than 1 MiB');
  const value = parse(bytes);
  const format = value instanceof Map ? value.get('format') : undefined;
  check(typeof format === 'string' && format.startsWith(FAMILY), 'malformed', 'not an evidence file');
  check(format === FORMAT, 'newer', 'evidence of another version: it needs a newer verifier');
  const [, ...parts] = members(value, ['format', 'records', 'batches', 'anchors', 'light_blocks', 'eras'], 'evidence');
  const raw = {
    records: read(parts[0], 'records', 1, MAX_RECORDS, readRecord),
    batches: read(parts[1], 'batches', 1, MAX_BATCHES, readBatch),
    anchors: read(parts[2], 'anchors', 1, MAX_ANCHORS, readAnchor),
    lightBlocks: read(parts[3], 'light_blocks', 1, MAX_LIGHT_BLOCKS, readLightBlock),
    eras: read(parts[4], 'eras', 0, MAX_LIGHT_BLOCKS, readLightBlock),
  };
  checkCounts(raw);
  checkReferences(raw);
  return {
    ...raw,
    records: raw.records.map((one) => ({ ...one, shown: parseRecord(one.record) })),
    batches: raw.batches.map(opened),
    anchors: raw.anchors.map(({ header, newer, ...one }) => ({ ...one, header: parseHeader(header), newer: newer && parseHeader(newer) })),
  };
}

/**
 * @template Item
 * @param {Value} value @param {string} what @param {number} least @param {number} most
 * @param {(item: Value, what: string) => Item} readOne
 */
const read = (value, what, least, most, readOne) =>
  list(value, what, { least, most }).map((item, i) => readOne(item, `${what}[${i}]`));

/** @param {Value} value @param {string} what */
function readRecord(value, what) {
  const [record, batch, index, path] = members(value, ['record', 'batch', 'index', 'path'], what);
  return {
    record: text(record, `${what}.record`, MAX_RECORD),
    batch: natural(batch, `${what}.batch`),
    index: natural(index, `${what}.index`, MAX_INDEX),
    path: read(path, `${what}.path`, 0, MAX_PATH, fixed32),
  };
}

/** @param {Value} value @param {string} what */
function readBatch(value, what) {
  const [note, key, proof, anchor, issuer] = members(value, ['note', 'key', 'proof', 'anchor', 'issuer'], what);
  return {
    note: text(note, `${what}.note`, MAX_NOTE),
    key: fixed(key, `${what}.key`),
    proof: text(proof, `${what}.proof`, MAX_PROOF),
    anchor: natural(anchor, `${what}.anchor`),
    issuer: readIssuer(issuer, `${what}.issuer`),
  };
}

/** @param {Value} value @param {string} what */
function readIssuer(value, what) {
  const names = ['custody', 'registered', 'revoked', 'registration'];
  const [custody, registered, revoked, registration] = members(value, names, what);
  return {
    custody: text(custody, `${what}.custody`),
    registered: natural(registered, `${what}.registered`),
    revoked: natural(revoked, `${what}.revoked`),
    registration: text(registration, `${what}.registration`, MAX_RECORD),
  };
}

/** @param {Value} value @param {string} what */
function readAnchor(value, what) {
  const [logKey, head, header, nodes, finality] = members(value, ['log_key', 'head', 'header', 'nodes', 'finality'], what);
  return {
    logKey: fixed(logKey, `${what}.log_key`),
    head: readHead(head, `${what}.head`),
    header: blob(header, `${what}.header`, MAX_HEADER),
    nodes: read(nodes, `${what}.nodes`, 0, MAX_NODES, (node, of) => blob(node, of, MAX_NODE)),
    ...readFinality(finality, `${what}.finality`),
  };
}

/** @param {Value} value @param {string} what */
function readHead(value, what) {
  const names = ['owner', 'log_key_id', 'root', 'aux', 'size', 'block'];
  const [owner, logKeyId, root, aux, size, block] = members(value, names, what);
  return {
    owner: fixedHex(owner, `${what}.owner`, 20),
    logKeyId: fixed(logKeyId, `${what}.log_key_id`),
    root: fixed(root, `${what}.root`),
    aux: fixed(aux, `${what}.aux`),
    size: natural(size, `${what}.size`),
    block: natural(block, `${what}.block`),
  };
}

/** @param {Value} value @param {string} what */
function readFinality(value, what) {
  check(value instanceof Map, 'malformed', `${what}: no object`);
  const type = value.get('type');
  check(typeof type === 'string', 'malformed', `${what}: no type`);
  check(type === FINALITY, 'newer', `${what}: of another type: it needs a newer verifier`);
  const ancestry = value.size > 2;
  const names = ['type', 'light_block', ...(ancestry ? ['header', 'path'] : [])];
  const [, lightBlock, header, path] = members(value, names, what);
  return {
    lightBlock: natural(lightBlock, `${what}.light_block`),
    newer: ancestry ? blob(header, `${what}.header`, MAX_HEADER) : null,
    path: ancestry ? read(path, `${what}.path`, 0, MAX_ANCESTRY, fixed32) : [],
  };
}

/** @param {Value} value @param {string} what */
const fixed32 = (value, what) => fixed(value, what);

/** @param {Raw} raw */
function checkCounts({ batches, lightBlocks, eras }) {
  const blocks = [...lightBlocks, ...eras];
  check(blocks.length <= MAX_LIGHT_BLOCKS, 'too-large', 'more than 32 light blocks and eras');
  const signatures = blocks.reduce((sum, { votes }) => sum + votes.length, 2 * batches.length);
  check(signatures <= MAX_SIGNATURES, 'too-large', `more than ${MAX_SIGNATURES} signatures`);
}

/** @param {Raw} raw */
function checkReferences({ records, batches, anchors, lightBlocks, eras }) {
  checkAllUsed(records.map(({ batch }) => batch), batches.length, 'batch');
  checkAllUsed(batches.map(({ anchor }) => anchor), anchors.length, 'anchor');
  checkAllUsed(anchors.map(({ lightBlock }) => lightBlock), lightBlocks.length, 'light block');
  checkDistinct(batches.map(({ note }) => note), 'batch');
  checkDistinct(anchors.map(anchorName), 'anchor');
  checkDistinct(lightBlocks.map(({ hash }) => hex(hash)), 'light block');
  checkDistinct(eras.map(({ hash }) => hex(hash)), 'era');
  checkDistinct(records.map(({ batch, index }) => `${batch}.${index}`), 'record');
}

/** Each index is one of `count`, and each of these is named. @param {number[]} indexes @param {number} count @param {string} what */
function checkAllUsed(indexes, count, what) {
  check(indexes.every((index) => index < count), 'malformed', `no such ${what}`);
  check(new Set(indexes).size === count, 'malformed', `a ${what} that nothing needs`);
}

/** @param {string[]} names @param {string} what */
function checkDistinct(names, what) {
  check(new Set(names).size === names.length, 'malformed', `a ${what} twice`);
}

/** @param {RawAnchor} anchor */
function anchorName({ logKey, head, header }) {
  const { owner, logKeyId, root, aux, size, block } = head;
  return [...[logKey, owner, logKeyId, root, aux, header].map(base64), size, block].join(' ');
}

/** @param {RawBatch} raw @returns {EvidenceBatch} */
function opened(raw) {
  const { custody, registration } = raw.issuer;
  check(custody === 'holder' || custody === 'operator', 'malformed', 'custody: neither holder nor operator');
  return {
    ...raw,
    statement: parseBatch(raw.note),
    proof: parseProof(raw.proof),
    issuer: { ...raw.issuer, custody, registration: parseRecord(registration) },
  };
}
