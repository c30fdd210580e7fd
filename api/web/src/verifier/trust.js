// SPDX-License-Identifier: GPL-3.0-or-later
// The trust file: whom a verdict rests on. What is wrong with it is a TrustError, and there is no verdict then.

import { equal, hex } from './bytes.js';
import { checkCommitted, readLightBlock, readTime } from './cometbft.js';
import { Refused, TrustError, check } from './errors.js';
import { Known } from './eras.js';
import { parseHeader } from './evm.js';
import { blob, fixedHex, list, members, natural, parse, text } from './ijson.js';
import { sha256 } from './tree.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {import('./ijson.js').Value} Value */
/** @typedef {{address: Bytes, codeHash: Bytes}} Contract */
/** @typedef {{owner: string, name: string, hosts: string[], log: string}} Member `owner` in hex */
/**
 * @typedef {object} Trust
 * @property {number} date POSIX seconds
 * @property {number} evmChainId
 * @property {string} cometbftChainId
 * @property {Contract} anchorLog
 * @property {Contract} issuerRegistry
 * @property {Member[]} members
 * @property {number|null} validators how many are in the newest set; null if no light block of the file shows it
 * @property {string} fingerprint
 * @property {Known} known what its light block and its eras lead to
 */

const FORMAT = 'moneo/trust/v1';
const MEMBERS = [
  'format',
  'date',
  'evm_chain_id',
  'cometbft_chain_id',
  'light_block',
  'header',
  'eras',
  'contracts',
  'members',
];
const MOST_BYTES = 2 ** 20;
const MOST_HEADER_BYTES = 4096;
const MOST_ERAS = 256;
const MOST_MEMBERS = 256;
const MOST_HOSTS = 16;
const MOST_CHARACTERS = 256;
const DATE = /^.{19}Z$/;
const ORIGIN = /^[!-*,-~]{1,256}$/;

/** Reads a trust file and follows its eras. Rejects with TrustError. @param {Bytes} bytes @returns {Promise<Trust>} */
export async function openTrust(bytes) {
  try {
    return await opened(bytes);
  } catch (error) {
    if (error instanceof Refused) throw new TrustError(`${error.kind}: ${error.message}`);
    throw error;
  }
}

/** H over the file's bytes, in groups of four digits. @param {Bytes} bytes */
export const fingerprint = (bytes) => (hex(sha256(bytes)).match(/..../g) ?? []).join(' ');

/**
 * Whether a pinned file may be replaced by a fresh one: both are good in themselves, and one follows from the other.
 * @param {Bytes} pinned @param {Bytes} fresh
 */
export async function replaces(pinned, fresh) {
  try {
    const [old, later] = await Promise.all([openTrust(pinned), openTrust(fresh)]);
    return isSameChain(old, later) && later.date >= old.date && followsFrom(old.known, later.known);
  } catch (error) {
    if (error instanceof TrustError) return false;
    throw error;
  }
}

/** @param {Trust} a @param {Trust} b */
function isSameChain(a, b) {
  const isSame = (/** @type {Contract} */ one, /** @type {Contract} */ other) =>
    equal(one.address, other.address) && equal(one.codeHash, other.codeHash);
  return (
    a.evmChainId === b.evmChainId &&
    a.cometbftChainId === b.cometbftChainId &&
    isSame(a.anchorLog, b.anchorLog) &&
    isSame(a.issuerRegistry, b.issuerRegistry)
  );
}

/**
 * Whether the later light block is one of the old ones, with all after it, or is of their newest era.
 * @param {Known} old @param {Known} later
 */
function followsFrom(old, later) {
  const [block] = later.blocks;
  const at = old.blocks.findIndex(({ hash }) => equal(hash, block.hash));
  if (at < 0) return old.isNewest(block) && !refuses(() => (old.checkInPower(block), old.checkFits(block)));
  return old.blocks.slice(at).every(({ hash }, i) => i < later.blocks.length && equal(hash, later.blocks[i].hash));
}

/** @param {() => void} act */
function refuses(act) {
  try {
    act();
  } catch (error) {
    if (error instanceof Refused) return true;
    throw error;
  }
  return false;
}

/** @param {Bytes} bytes @returns {Promise<Trust>} */
async function opened(bytes) {
  check(bytes.length <= MOST_BYTES, 'too-large', 'more than 1 MiB');
  const value = parse(bytes);
  check(value instanceof Map && value.get('format') === FORMAT, 'malformed', `no ${FORMAT}`);
  const [, date, evmChainId, chainId, lightBlock, header, eras, contracts, people] = members(value, MEMBERS, 'trust');
  const [anchorLog, issuerRegistry] = members(contracts, ['AnchorLog', 'IssuerRegistry'], 'contracts');
  const trust = {
    date: readDate(date),
    evmChainId: natural(evmChainId, 'evm_chain_id'),
    cometbftChainId: text(chainId, 'cometbft_chain_id'),
    anchorLog: readContract(anchorLog),
    issuerRegistry: readContract(issuerRegistry),
    members: readMembers(people),
    fingerprint: fingerprint(bytes),
  };
  const block = readLightBlock(lightBlock, 'light_block');
  const changes = list(eras, 'eras', { most: MOST_ERAS }).map((era) => readLightBlock(era, 'era'));
  checkHeader(blob(header, 'header', MOST_HEADER_BYTES), block);
  await checkCommitted(block, trust.cometbftChainId);
  const known = await Known.from(block).follow(changes, trust.cometbftChainId);
  return { ...trust, known, validators: validatorsShown(known) };
}

/** @param {Bytes} header @param {import('./cometbft.js').LightBlock} block */
function checkHeader(header, block) {
  const { hash } = parseHeader(header);
  check(equal(hash, block.appHash), 'invalid', "the EVM header is not the light block's");
}

/** How many validators the newest set has, where a light block of that set is in the file. @param {Known} known */
function validatorsShown({ blocks, sets }) {
  const newest = sets[sets.length - 1].hash;
  return blocks.find(({ validatorsHash }) => equal(validatorsHash, newest))?.validators.length ?? null;
}

/** @param {Value} value */
function readDate(value) {
  const time = readTime(value, 'date');
  check(typeof value === 'string' && DATE.test(value), 'malformed', 'date: not in whole seconds');
  return time.seconds;
}

/** @param {Value} value @returns {Contract} */
function readContract(value) {
  const [address, codeHash] = members(value, ['address', 'code_hash'], 'contract');
  return { address: fixedHex(address, 'address', 20), codeHash: fixedHex(codeHash, 'code_hash', 32) };
}

/** @param {Value} value */
function readMembers(value) {
  const read = list(value, 'members', { least: 1, most: MOST_MEMBERS }).map(readMember);
  for (const key of /** @type {const} */ (['owner', 'name'])) {
    check(new Set(read.map((member) => member[key])).size === read.length, 'malformed', `members: one ${key} twice`);
  }
  return read;
}

/** @param {Value} value @returns {Member} */
function readMember(value) {
  const [owner, name, hosts, log] = members(value, ['owner', 'name', 'hosts', 'log'], 'member');
  const origin = text(log, 'log');
  check(ORIGIN.test(origin), 'malformed', 'log: no origin');
  return {
    owner: `0x${hex(fixedHex(owner, 'owner', 20))}`,
    name: characters(name, 'name'),
    hosts: list(hosts, 'hosts', { most: MOST_HOSTS }).map((host) => characters(host, 'host')),
    log: origin,
  };
}

/** A text of at most 256 code points. @param {Value} value @param {string} what */
function characters(value, what) {
  const read = text(value, what);
  check(read.length <= 2 * MOST_CHARACTERS && [...read].length <= MOST_CHARACTERS, 'malformed', `${what}: too long`);
  return read;
}
