// SPDX-License-Identifier: GPL-3.0-or-later
// CometBFT 0.38's light blocks as evidence writes them: read, hashed, and whether more than 2/3 have signed one.

import { concat, equal, fromUpperHex, hex, utf8 } from './bytes.js';
import { keyIsUsable, verifySignature } from './ed25519.js';
import { check } from './errors.js';
import { fixed, list, members, natural, text } from './ijson.js';
import { leafHash, rootOf } from './tree.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {import('./ijson.js').Value} Value */
/** @typedef {{seconds: number, nanos: number}} Time since 1970; nanos are never negative */
/** @typedef {{total: number, hash: Bytes}} Parts */
/** @typedef {{index: number, time: Time, signature: Bytes}} Vote */
/** @typedef {{key: Bytes, power: number}} Validator */
/**
 * @typedef {object} Header
 * @property {{block: number, app: number}} version
 * @property {string} chainId
 * @property {number} height
 * @property {Time} time
 * @property {{hash: Bytes, parts: Parts}} lastBlockId
 * @property {Bytes[]} hashes the fields of HASHES, in this order
 * @property {Bytes} proposer
 */
/**
 * @typedef {object} LightBlock
 * @property {Header} header
 * @property {Bytes} hash of the header: blocks with the same one have the same header
 * @property {Bytes} appHash
 * @property {Bytes} validatorsHash
 * @property {Bytes} nextValidatorsHash
 * @property {number} round
 * @property {Parts} parts
 * @property {Vote[]} votes
 * @property {Validator[]} validators
 */

const BLOCK_PROTOCOL = 11;
const MOST_VALIDATORS = 512;
const MOST_PARTS = 1601;
const MOST_HEX = 2 * 128;
const PRECOMMIT = 2;

const HASHES = /** @type {const} */ ([
  'last_commit_hash',
  'data_hash',
  'validators_hash',
  'next_validators_hash',
  'consensus_hash',
  'app_hash',
  'last_results_hash',
  'evidence_hash',
]);
const [VALIDATORS, NEXT_VALIDATORS, APP] = [2, 3, 5];
const LIGHT_BLOCK = ['header', 'round', 'parts', 'votes', 'validators'];
const HEADER = ['version', 'chain_id', 'height', 'time', 'last_block_id', ...HASHES, 'proposer_address'];

const CHAIN_ID = /^[ -~]{1,50}$/;
const DECIMAL = /^(?:0|[1-9][0-9]{0,15})$/;
const TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z$/;

// Reading. What breaks the document's two tables is `malformed`.

/** @param {Value|undefined} value @param {string} what @returns {LightBlock} */
export function readLightBlock(value, what) {
  const [head, round, parts, votes, validators] = members(value, LIGHT_BLOCK, what);
  const header = readHeader(head, `${what}: header`);
  const most = { most: MOST_VALIDATORS, beyond: /** @type {const} */ ('malformed') };
  const block = {
    header,
    hash: headerHash(header),
    appHash: header.hashes[APP],
    validatorsHash: header.hashes[VALIDATORS],
    nextValidatorsHash: header.hashes[NEXT_VALIDATORS],
    round: natural(round, `${what}: round`),
    parts: readParts(parts, `${what}: parts`),
    votes: list(votes, `${what}: votes`, most).map((vote) => readVote(vote, `${what}: vote`)),
    validators: list(validators, `${what}: validators`, most).map((each) => readValidator(each, `${what}: validator`)),
  };
  const there = block.votes.every((vote) => vote.index < block.validators.length);
  check(there, 'malformed', `${what}: a vote of nobody`);
  return block;
}

/** @param {Value} value @param {string} what @returns {Header} */
function readHeader(value, what) {
  const [version, chainId, height, time, last, ...rest] = members(value, HEADER, what);
  check(typeof chainId === 'string' && CHAIN_ID.test(chainId), 'malformed', `${what}: no chain id`);
  const [hash, parts] = members(last, ['hash', 'parts'], `${what}: last_block_id`);
  const hashes = rest.map((each) => readHex(each, what));
  const proposer = /** @type {Bytes} */ (hashes.pop());
  return {
    version: readVersion(version, `${what}: version`),
    chainId,
    height: readDecimal(height, `${what}: height`),
    time: readTime(time, `${what}: time`),
    lastBlockId: { hash: readHex(hash, what), parts: readParts(parts, `${what}: last_block_id`) },
    hashes,
    proposer,
  };
}

/** @param {Value} value @param {string} what */
function readVersion(value, what) {
  const withApp = value instanceof Map && value.has('app');
  const [block, app] = members(value, withApp ? ['block', 'app'] : ['block'], what);
  check(app !== '0', 'malformed', `${what}: 0 written out`);
  return { block: readDecimal(block, what), app: withApp ? readDecimal(app, what) : 0 };
}

/** @param {Value} value @param {string} what @returns {Parts} */
function readParts(value, what) {
  const [total, hash] = members(value, ['total', 'hash'], what);
  return { total: natural(total, what), hash: readHex(hash, what) };
}

/** @param {Value} value @param {string} what @returns {Vote} */
function readVote(value, what) {
  const [index, time, signature] = tuple(value, 3, what);
  return { index: natural(index, what), time: readTime(time, what), signature: fixed(signature, what, 64) };
}

/** @param {Value} value @param {string} what @returns {Validator} */
function readValidator(value, what) {
  const [key, power] = tuple(value, 2, what);
  return { key: fixed(key, what), power: natural(power, what) };
}

/** @param {Value} value @param {number} length @param {string} what */
const tuple = (value, length, what) => list(value, what, { least: length, most: length, beyond: 'malformed' });

/** @param {Value} value @param {string} what */
function readHex(value, what) {
  check(typeof value === 'string' && value.length <= MOST_HEX, 'malformed', `${what}: no HEX`);
  return fromUpperHex(value);
}

/** @param {Value} value @param {string} what */
function readDecimal(value, what) {
  check(typeof value === 'string' && DECIMAL.test(value), 'malformed', `${what}: no decimal`);
  return natural(Number(value), what);
}

/** RFC 3339, in UTC, without leap seconds. @param {Value|undefined} value @param {string} what @returns {Time} */
export function readTime(value, what) {
  const match = TIME.exec(text(value, what));
  check(match, 'malformed', `${what}: no time`);
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number);
  const date = new Date(0);
  const midnight = date.setUTCFullYear(year, month - 1, day) / 1000;
  const isDay = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  check(year && isDay && hour < 24 && minute < 60 && second < 60, 'malformed', `${what}: no such time`);
  return { seconds: midnight + 3600 * hour + 60 * minute + second, nanos: Number((match[7] ?? '').padEnd(9, '0')) };
}

/** @param {Time} time */
export const roundedUp = ({ seconds, nanos }) => seconds + (nanos > 0 ? 1 : 0);

/** Whether a is later than b. @param {Time} a @param {Time} b */
export const isLater = (a, b) => a.seconds > b.seconds || (a.seconds === b.seconds && a.nanos > b.nanos);

// Encoding, as Protocol Buffers: what is 0 or empty is left out, but for messages within messages.

const [VARINT, FIXED64, BYTES] = [0, 1, 2];
const NOTHING = new Uint8Array();

/** A negative number is its 64-bit two's complement. @param {number} value */
function varint(value) {
  const bytes = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Uint8Array.of(...bytes, Number(rest));
}

/** @param {number} field @param {number} type */
const tag = (field, type) => Uint8Array.of((field << 3) | type);

/** @param {number} field @param {number} value */
const number = (field, value) => (value ? concat(tag(field, VARINT), varint(value)) : NOTHING);

/** @param {number} field @param {Bytes[]} parts */
const message = (field, ...parts) => concat(tag(field, BYTES), varint(concat(...parts).length), ...parts);

/** @param {number} field @param {Bytes} value */
const bytes = (field, value) => (value.length ? message(field, value) : NOTHING);

/** @param {number} field @param {number} value */
function fixed64(field, value) {
  const little = new Uint8Array(8);
  new DataView(little.buffer).setBigInt64(0, BigInt(value), true);
  return value ? concat(tag(field, FIXED64), little) : NOTHING;
}

/** @param {Time} time */
const timestamp = ({ seconds, nanos }) => concat(number(1, seconds), number(2, nanos));

/** @param {Bytes} hash @param {Parts} parts */
const blockId = (hash, parts) => concat(bytes(1, hash), message(2, number(1, parts.total), bytes(2, parts.hash)));

/** @param {Header} header */
export function headerHash({ version, chainId, height, time, lastBlockId, hashes, proposer }) {
  const fields = [
    concat(number(1, version.block), number(2, version.app)),
    bytes(1, utf8(chainId)),
    number(1, height),
    timestamp(time),
    blockId(lastBlockId.hash, lastBlockId.parts),
    ...[...hashes, proposer].map((hash) => bytes(1, hash)),
  ];
  return rootOf(fields.map(leafHash));
}

/** @param {Validator[]} validators in the order in which the hash takes them */
export const validatorsHash = (validators) =>
  rootOf(validators.map(({ key, power }) => leafHash(concat(message(1, bytes(1, key)), number(2, power)))));

/** What a vote for the block signs. @param {LightBlock} block @param {Vote} vote */
export function signBytes({ header, hash, round, parts }, vote) {
  const signed = concat(
    number(1, PRECOMMIT),
    fixed64(2, header.height),
    fixed64(3, round),
    message(4, blockId(hash, parts)),
    message(5, timestamp(vote.time)),
    bytes(6, utf8(header.chainId)),
  );
  return concat(varint(signed.length), signed);
}

// Judging.

/** Whether a part of the power is more than 2/3 of all. @param {bigint} part @param {bigint} all */
const isMajority = (part, all) => 3n * part > 2n * all;

/** @param {number[]} powers */
const sum = (powers) => powers.reduce((total, power) => total + BigInt(power), 0n);

/** The powers of those who vote, in the order of the votes. @param {LightBlock} block */
const voting = ({ votes, validators }) => votes.map((vote) => validators[vote.index].power);

/** @param {LightBlock} block */
const totalPower = ({ validators }) => sum(validators.map(({ power }) => power));

/** Whether one validator alone has more than 2/3. @param {LightBlock} block */
export function isOneValidators(block) {
  return isMajority(BigInt(Math.max(...block.validators.map(({ power }) => power))), totalPower(block));
}

/** Whether there are no more votes than are needed. @param {LightBlock} block */
export function isMinimal(block) {
  const powers = voting(block);
  const weakest = powers.length ? Math.min(...powers) : 0;
  return !isMajority(sum(powers) - BigInt(weakest), totalPower(block));
}

/** @param {Bytes} hash */
const isHashOrNothing = (hash) => hash.length === 0 || hash.length === 32;

/**
 * Throws `Refused('invalid')` unless the block is committed on the chain.
 * @param {LightBlock} block @param {string} chainId
 */
export async function checkCommitted(block, chainId) {
  checkHeader(block, chainId);
  checkValidators(block);
  const ascending = block.votes.every((vote, i) => i === 0 || vote.index > block.votes[i - 1].index);
  check(ascending, 'invalid', 'votes that do not ascend');
  check(isMajority(sum(voting(block)), totalPower(block)), 'invalid', 'votes of no more than 2/3 of the power');
  const holds = block.votes.map((vote) =>
    verifySignature(block.validators[vote.index].key, signBytes(block, vote), vote.signature),
  );
  check((await Promise.all(holds)).every(Boolean), 'invalid', 'a vote that does not hold');
}

/** What is fixed of a header and the votes' block id. @param {LightBlock} block @param {string} chainId */
function checkHeader({ header, round, parts, ...named }, chainId) {
  const { version, height, lastBlockId, hashes, proposer } = header;
  check(header.chainId === chainId, 'invalid', 'a light block of another chain');
  check(version.block === BLOCK_PROTOCOL && height > 0, 'invalid', 'a header of another protocol, or without height');
  const partsHold = parts.total >= 1 && parts.total <= MOST_PARTS && parts.hash.length === 32;
  check(partsHold && round < 2 ** 31, 'invalid', 'parts or a round that CometBFT has not');
  const setsHold = named.validatorsHash.length === 32 && named.nextValidatorsHash.length === 32;
  const hashesHold = hashes.every((hash, i) => (i === APP ? hash.length <= 64 : isHashOrNothing(hash)));
  check(setsHold && hashesHold && proposer.length === 20, 'invalid', 'a hash or address of another length');
  const last = lastBlockId.parts;
  const lastHolds = isHashOrNothing(lastBlockId.hash) && isHashOrNothing(last.hash) && last.total <= MOST_PARTS;
  check(lastHolds, 'invalid', 'a last block id that CometBFT has not');
}

/** @param {LightBlock} block */
function checkValidators(block) {
  const { validators } = block;
  const keys = validators.map(({ key }) => key);
  check(validators.length && new Set(keys.map(hex)).size === keys.length, 'invalid', 'no validators, or one twice');
  check(validators.every(({ power }) => power > 0), 'invalid', 'a validator without power');
  check(totalPower(block) <= Number.MAX_SAFE_INTEGER, 'invalid', 'powers beyond 2^53 - 1');
  check(keys.every(keyIsUsable), 'invalid', 'a validator key of small order or another spelling');
  check(equal(validatorsHash(validators), block.validatorsHash), 'invalid', 'other validators than the header says');
}
