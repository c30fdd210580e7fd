// SPDX-License-Identifier: GPL-3.0-or-later
// Proofs in Ethereum's state and storage tries (Yellow Paper, appendix D), from one pool of nodes for all of an anchor.
// What doesn't hold is `invalid`.

import { equal, hex } from './bytes.js';
import { check } from './errors.js';
import { keccak256, word } from './evm.js';
import * as rlp from './rlp.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {{storageRoot: Bytes, codeHash: Bytes}} Account */

const EMPTY_ROOT = keccak256(Uint8Array.of(0x80));
const HASH = 32; // a node of fewer bytes lies within its parent

export class TrieNodes {
  /** @param {Bytes[]} nodes RLP, none twice */
  constructor(nodes) {
    this.unused = new Set(nodes.map((node) => hex(keccak256(node))));
    check(this.unused.size === nodes.length, 'invalid', 'a trie node twice');
    this.nodes = new Map([...this.unused].map((hash, i) => [hash, nodes[i]]));
    /** @type {Map<string, rlp.Item[]>} */
    this.read = new Map();
  }

  /**
   * The account of an address; null if it is proven that there is none.
   * @param {Bytes} stateRoot @param {Bytes} address @returns {Account|null}
   */
  account(stateRoot, address) {
    const value = this.value(stateRoot, keccak256(address));
    if (!value) return null;
    const fields = rlp.decode(value, 'invalid');
    check(Array.isArray(fields) && fields.length === 4, 'invalid', 'an account of not four fields');
    rlp.integer(fields[0], 8, 'invalid');
    rlp.integer(fields[1], 32, 'invalid');
    const [storageRoot, codeHash] = fields.slice(2).map((field) => string(field));
    check(storageRoot.length === HASH && codeHash.length === HASH, 'invalid', 'an account with other hashes');
    return { storageRoot, codeHash };
  }

  /**
   * The 32 bytes in a slot; zeros if it is proven that nothing is there.
   * @param {Bytes} storageRoot @param {Bytes} slot
   */
  storage(storageRoot, slot) {
    const value = this.value(storageRoot, keccak256(slot));
    if (!value) return word(0);
    const integer = string(rlp.decode(value, 'invalid'));
    check(rlp.integer(integer, HASH, 'invalid') !== 0n, 'invalid', 'a slot that holds zero');
    return word(integer);
  }

  /** Throws unless every node was needed. */
  checkAllUsed() {
    check(this.unused.size === 0, 'invalid', 'a trie node that nothing needs');
  }

  /**
   * What a trie holds under a hashed key; null if it is proven that there is nothing.
   * @param {Bytes} root @param {Bytes} key
   */
  value(root, key) {
    if (equal(root, EMPTY_ROOT)) return null;
    let path = hex(key);
    for (let node = this.byHash(root); ; ) {
      const [first, child] = node;
      /** @type {rlp.Item} */
      let next;
      if (node.length === 2) {
        const { nibbles, leaf } = unpacked(string(first));
        const ends = leaf ? nibbles.length === path.length : nibbles !== '' && nibbles.length < path.length;
        check(ends, 'invalid', 'a path of another length');
        if (!path.startsWith(nibbles)) return null;
        if (leaf) return string(child);
        [next, path] = [child, path.slice(nibbles.length)];
      } else {
        check(string(node[16]).length === 0, 'invalid', 'a branch with a value');
        check(path, 'invalid', 'a path that ends at a branch');
        [next, path] = [node[parseInt(path[0], 16)], path.slice(1)];
        if (next.length === 0 && !Array.isArray(next)) return null;
      }
      node = this.child(next);
    }
  }

  /** @param {Bytes} hash @returns {rlp.Item[]} */
  byHash(hash) {
    const name = hex(hash);
    const encoded = this.nodes.get(name);
    check(encoded, 'invalid', 'a trie node is missing');
    this.unused.delete(name);
    const items = this.read.get(name) ?? node(rlp.decode(encoded, 'invalid'));
    this.read.set(name, items);
    return items;
  }

  /** @param {rlp.Item} reference a hash, or the node itself */
  child(reference) {
    if (Array.isArray(reference)) {
      check(rlp.encodedLength(reference) < HASH, 'invalid', 'a node that should stand by its hash');
      return node(reference);
    }
    check(reference.length === HASH, 'invalid', 'no reference to a node');
    const length = this.nodes.get(hex(reference))?.length ?? HASH;
    check(length >= HASH, 'invalid', 'a node that should lie within its parent');
    return this.byHash(reference);
  }
}

/** @param {rlp.Item} item */
function string(item) {
  check(!Array.isArray(item), 'invalid', 'a list where bytes should be');
  return item;
}

/** @param {rlp.Item} item */
function node(item) {
  check(Array.isArray(item) && (item.length === 2 || item.length === 17), 'invalid', 'no trie node');
  return item;
}

/** The nibbles, as hex digits, of a leaf's or an extension's path. @param {Bytes} packed */
function unpacked(packed) {
  const digits = hex(packed);
  const flag = parseInt(digits[0] ?? 'f', 16);
  const odd = flag & 1;
  check(flag < 4 && (odd || digits[1] === '0'), 'invalid', 'no packed path');
  return { nibbles: digits.slice(odd ? 1 : 2), leaf: flag >= 2 };
}
