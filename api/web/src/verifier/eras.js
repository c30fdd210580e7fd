// SPDX-License-Identifier: GPL-3.0-or-later
// Finality: that validators whom the trust file leads to have signed the light blocks (docs/evidence.md, “Eras and
// finality”).
//
//   finality({lightBlocks, eras, anchors, keys}, trust) → an assurance for each light block, or Refused
//   Known.from(lightBlock), known.follow(eras, chainId) → for the trust file itself

import { equal, hex } from './bytes.js';
import { checkCommitted, isLater, isMinimal, isOneValidators } from './cometbft.js';
import { check } from './errors.js';
import { leafHash, rootFromPath } from './tree.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {import('./cometbft.js').LightBlock} LightBlock */
/** @typedef {import('./evm.js').Header} Header */
/** @typedef {'past-era'|'one-validator'|'consortium'} Assurance */
/** @typedef {{header: Header, newer: Header|null, path: Bytes[]}} Ancestry of an anchor; without, `newer` is null */
/**
 * @typedef {object} Finality what step 6 looks at
 * @property {LightBlock[]} lightBlocks
 * @property {LightBlock[]} eras
 * @property {Ancestry[]} anchors
 * @property {Bytes[]} keys of issuers and logs
 */

const MOST_SETS = 256;

/** Light blocks that are believed, and from which height on which validators are in power. */
export class Known {
  /** @param {LightBlock[]} blocks ascending @param {{from: number, hash: Bytes}[]} sets ascending */
  constructor(blocks, sets) {
    this.blocks = blocks;
    this.sets = sets;
  }

  /** What the trust file's light block alone says. @param {LightBlock} block */
  static from(block) {
    const known = new Known([block], [{ from: 1, hash: block.validatorsHash }]);
    if (changesSet(block)) known.sets.push(next(block));
    return known;
  }

  /** Whether this header is among those believed. @param {LightBlock} block */
  has(block) {
    return this.blocks.some((known) => equal(known.hash, block.hash));
  }

  /** The place, among the sets, of the one in power. @param {number} height */
  eraAt(height) {
    return this.sets.filter((set) => set.from <= height).length - 1;
  }

  /** Whether the newest set is in power at its height. @param {LightBlock} block */
  isNewest({ header }) {
    return this.eraAt(header.height) === this.sets.length - 1;
  }

  /** Throws unless its validators are those in power. @param {LightBlock} block */
  checkInPower({ header, validatorsHash }) {
    const set = this.sets[this.eraAt(header.height)];
    check(equal(set.hash, validatorsHash), 'untrusted', `validators who are not in power at height ${header.height}`);
  }

  /** Throws if it contradicts a light block that is believed. @param {LightBlock} block */
  checkFits(block) {
    const { height, time } = block.header;
    const fits = this.blocks.every(({ header, hash }) => {
      if (header.height === height) return equal(hash, block.hash);
      return height > header.height ? isLater(time, header.time) : isLater(header.time, time);
    });
    check(fits, 'untrusted', `a light block of height ${height} that contradicts what is known`);
  }

  /**
   * What is known once these eras are taken up, but for those `passedOver`, which only must hold. Throws `Refused`.
   * @param {LightBlock[]} eras @param {string} chainId @param {(era: LightBlock) => boolean} passedOver
   */
  async follow(eras, chainId, passedOver = () => false) {
    const known = new Known([...this.blocks], [...this.sets]);
    let height = 0;
    for (const era of eras) {
      check(era.header.height > height, 'untrusted', 'eras out of order');
      height = era.header.height;
      await checkCommitted(era, chainId);
      const leadsOn = !passedOver(era);
      if (leadsOn) known.checkInPower(era);
      known.checkFits(era);
      if (leadsOn) known.takeUp(era);
    }
    return known;
  }

  /** @param {LightBlock} era */
  takeUp(era) {
    const last = this.blocks[this.blocks.length - 1];
    const leadsOn = era.header.height > last.header.height && changesSet(era) && this.sets.length < MOST_SETS;
    check(leadsOn, 'untrusted', 'an era that leads nowhere, or one too many');
    this.blocks.push(era);
    this.sets.push(next(era));
  }
}

/** @param {LightBlock} block */
const changesSet = (block) => !equal(block.validatorsHash, block.nextValidatorsHash);

/** The set that a light block names. @param {LightBlock} block */
const next = (block) => ({ from: block.header.height + 1, hash: block.nextValidatorsHash });

/**
 * Step 6, in its order.
 * @param {Finality} evidence
 * @param {{cometbftChainId: string, known: Known}} trust
 * @returns {Promise<Assurance[]>} of each light block
 */
export async function finality({ lightBlocks, eras, anchors, keys }, trust) {
  const { cometbftChainId: chainId, known: trusted } = trust;
  const all = [...lightBlocks, ...eras];
  for (const { header } of all) check(header.chainId === chainId, 'untrusted', 'a light block of another chain');
  for (const block of all) check(isMinimal(block), 'invalid', 'more votes than are needed');
  const first = trusted.blocks[0].header.height;
  const known = await trusted.follow(eras, chainId, (era) => trusted.has(era) || era.header.height <= first);
  for (const block of lightBlocks) {
    await checkCommitted(block, chainId);
    known.checkInPower(block);
    known.checkFits(block);
  }
  anchors.forEach(checkAncestry);
  checkKeys(lightBlocks, keys);
  return lightBlocks.map((block) => assurance(block, known));
}

/** @param {Ancestry} anchor */
function checkAncestry({ header, newer, path }) {
  if (!newer) return;
  const root = rootFromPath(leafHash(header.hash), header.number, newer.number, path);
  check(equal(root, newer.extraData), 'invalid', 'no ancestor of the newer header');
}

/** @param {LightBlock[]} lightBlocks @param {Bytes[]} keys */
function checkKeys(lightBlocks, keys) {
  const others = new Set(keys.map(hex));
  const apart = lightBlocks.every(({ validators }) => validators.every(({ key }) => !others.has(hex(key))));
  check(apart, 'invalid', "a validator's key that is an issuer's or a log's");
}

/** @param {LightBlock} block @param {Known} known @returns {Assurance} */
function assurance(block, known) {
  if (!known.isNewest(block) && !known.has(block)) return 'past-era';
  return isOneValidators(block) ? 'one-validator' : 'consortium';
}
