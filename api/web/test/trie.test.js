// SPDX-License-Identifier: GPL-3.0-or-later
// RLP, tries and headers: against tries built by the Yellow Paper's definition, and those of the vectors.

import assert from 'node:assert/strict';
import test from 'node:test';

import { concat, equal, fromBase64, fromHex, hex, utf8 } from '../src/verifier/bytes.js';
import { commitment, headSlot, issuerSlot, keccak256, parseHeader, word } from '../src/verifier/evm.js';
import * as rlp from '../src/verifier/rlp.js';
import { sha256 } from '../src/verifier/tree.js';
import { TrieNodes } from '../src/verifier/trie.js';
import { LINEAR, refusal, timed, vectorJson } from './support.js';

/** @param {string} digits */
const raw = (digits) => fromHex(`0x${digits}`);

/** @param {rlp.Item} item @returns {Uint8Array} */
function encode(item) {
  const payload = Array.isArray(item) ? concat(...item.map(encode)) : item;
  const base = Array.isArray(item) ? 0xc0 : 0x80;
  if (base === 0x80 && payload.length === 1 && payload[0] < 0x80) return payload;
  if (payload.length < 56) return concat(Uint8Array.of(base + payload.length), payload);
  const digits = payload.length.toString(16);
  const length = raw(digits.padStart(digits.length + (digits.length % 2), '0'));
  return concat(Uint8Array.of(base + 55 + length.length), length, payload);
}

/** A trie by the definition of the Yellow Paper, appendix D. */
class Trie {
  /** @param {[string, Uint8Array][]} pairs key in hex digits, value */
  constructor(pairs) {
    /** @type {Uint8Array[]} */
    this.nodes = [];
    const root = pairs.length ? this.node(pairs) : new Uint8Array();
    this.root = Array.isArray(root) || !root.length ? keccak256(encode(root)) : root;
    if (Array.isArray(root)) this.nodes.push(encode(root));
  }

  /** @param {[string, Uint8Array][]} pairs @returns {rlp.Item} */
  node(pairs) {
    const [[key, value]] = pairs;
    if (pairs.length === 1) return this.reference([packed(key, 2), value]);
    let shared = 0;
    while (pairs.every(([each]) => each[shared] === key[shared])) shared++;
    if (shared) {
      const below = this.node(pairs.map(([each, v]) => [each.slice(shared), v]));
      return this.reference([packed(key.slice(0, shared), 0), below]);
    }
    const children = Array.from('0123456789abcdef', (nibble) => {
      /** @type {[string, Uint8Array][]} */
      const below = pairs.filter(([each]) => each[0] === nibble).map(([each, v]) => [each.slice(1), v]);
      return below.length ? this.node(below) : new Uint8Array();
    });
    return this.reference([...children, new Uint8Array()]);
  }

  /** @param {rlp.Item[]} node @returns {rlp.Item} */
  reference(node) {
    const encoded = encode(node);
    if (encoded.length < 32) return node;
    if (!this.nodes.some((each) => equal(each, encoded))) this.nodes.push(encoded);
    return keccak256(encoded);
  }
}

/** @param {string} nibbles @param {number} flag */
const packed = (nibbles, flag) => raw(nibbles.length % 2 ? `${flag + 1}${nibbles}` : `${flag}0${nibbles}`);

/** @param {string} seed */
const digits = (seed) => hex(sha256(utf8(seed)));

/**
 * Keys that share beginnings of many lengths, so that nodes lie within their parents and extensions are long.
 * @param {number} many
 */
function keys(many) {
  const beginnings = [0, 1, 2, 31, 60, 61, 62];
  const made = Array.from({ length: many }, (_, i) => {
    const shared = beginnings[i % beginnings.length];
    return digits('key').slice(0, shared) + digits(`key ${i}`).slice(shared);
  });
  return [...new Set(made)];
}

test('what a trie holds is proven by the nodes on the way, and what it does not hold too', () => {
  for (const many of [0, 1, 2, 3, 7, 8, 20, 39]) {
    /** @type {[string, Uint8Array][]} */
    const pairs = keys(many).map((key, i) => [key, i % 3 ? Uint8Array.of(i) : raw(digits(`value ${i}`))]);
    const trie = new Trie(pairs);
    const whole = new TrieNodes(trie.nodes);
    for (const [key, value] of pairs) assert.deepEqual(whole.value(trie.root, raw(key)), value);
    whole.checkAllUsed();
    const there = new Set(pairs.map(([key]) => key));
    for (const key of keys(60).flatMap((each) => [each, each.replace(/.$/, (last) => (last === '0' ? '1' : '0'))])) {
      if (!there.has(key)) assert.equal(whole.value(trie.root, raw(key)), null);
    }
    for (let i = 0; i < trie.nodes.length; i++) {
      const others = trie.nodes.filter((_, at) => at !== i);
      const pool = new TrieNodes(others);
      const missed = pairs.map(([key]) => refusal(() => pool.value(trie.root, raw(key))));
      assert.ok(missed.includes('invalid'));
      assert.equal(refusal(() => new TrieNodes([...others, trie.nodes[i], trie.nodes[i]])), 'invalid');
    }
  }
});

test('a node that nothing needs is one too many, also beside an empty trie', () => {
  const empty = new Trie([]);
  const pool = new TrieNodes([Uint8Array.of(0x80)]);
  assert.equal(pool.value(empty.root, raw(digits('a'))), null);
  assert.equal(pool.account(empty.root, word(1)), null);
  assert.deepEqual(pool.storage(empty.root, word(1)), word(0));
  assert.equal(refusal(() => pool.checkAllUsed()), 'invalid');
});

/** What becomes of a proof whose first node is this. @param {rlp.Item} node @param {rlp.Item[]} others */
function judged(node, ...others) {
  const nodes = [node, ...others].map(encode);
  return refusal(() => new TrieNodes(nodes).value(keccak256(nodes[0]), KEY));
}

const KEY = raw('12' + '0'.repeat(62));
const REST = '0'.repeat(62);
const NONE = new Uint8Array();
const VALUE = Uint8Array.of(7);
/** @param {rlp.Item} first @param {number} at */
const branch = (first, at, value = NONE) => [...Array.from({ length: 16 }, (_, i) => (i === at ? first : NONE)), value];

test('nodes have one form', () => {
  const leaf = [packed(REST, 2), VALUE];
  const short = [packed(`2${REST}`, 2), VALUE];
  const whole = [packed(`12${REST}`, 2), VALUE];
  const tiny = [packed('0000', 2), VALUE];
  const toTiny = packed('12' + '0'.repeat(58), 0);
  assert.equal(judged(whole), undefined);
  assert.equal(judged(branch(keccak256(encode(short)), 1), short), undefined);
  assert.equal(judged([packed('12', 0), keccak256(encode(leaf))], leaf), undefined, 'an extension to a leaf');
  /** @type {[string, rlp.Item, ...rlp.Item[]][]} */
  const wrong = [
    ['not a list', VALUE],
    ['another number of items', [packed(`12${REST}`, 2), VALUE, VALUE]],
    ['no items', []],
    ['a leaf that ends early', [packed('12', 2), VALUE]],
    ["a leaf that ends early, of another key's", [packed('34', 2), VALUE]],
    ['a leaf that ends late', [packed(`12${REST}0`, 2), VALUE]],
    ['an empty extension', [packed('', 0), keccak256(encode(whole))], whole],
    ['an extension over the whole key', [packed(`12${REST}`, 0), keccak256(encode(leaf))], leaf],
    ['an extension past the key', [packed(`34${REST}00`, 0), keccak256(encode(leaf))], leaf],
    ['an extension to nothing', [packed('12', 0), NONE]],
    ['a flag of 4', [packed(`12${REST}`, 4), VALUE]],
    ['a nibble beside the flag', [concat(Uint8Array.of(0x21), KEY), VALUE]],
    ['no flag', [NONE, VALUE]],
    ['a list for a path', [[], VALUE]],
    ['a list for a value', [packed(`12${REST}`, 2), [VALUE]]],
    ['a branch with a value', branch(NONE, 0, VALUE)],
    ['a branch with a list for a value', [...branch(NONE, 0).slice(0, 16), []]],
    ['a reference of 31 bytes', branch(KEY.slice(1), 1)],
    ['a reference of one byte', branch(VALUE, 1)],
    ['an embedded node of 32 bytes and more', branch(short, 1)],
    ['an empty embedded node', branch([], 1)],
    ['a short node by its hash', [toTiny, keccak256(encode(tiny))], tiny],
  ];
  for (const [name, node, ...others] of wrong) assert.equal(judged(node, ...others), 'invalid', name);
  assert.equal(judged([toTiny, tiny]), undefined, 'a short node within its parent');
  assert.equal(judged([packed('3', 0), keccak256(KEY)]), undefined, 'an extension that turns away');
});

test('accounts and slots are integers and hashes of their size', () => {
  const address = word(5);
  const account = (/** @type {rlp.Item[]} */ fields) => {
    const trie = new Trie([[hex(keccak256(address)), encode(fields)]]);
    return () => new TrieNodes(trie.nodes).account(trie.root, address);
  };
  const [storageRoot, codeHash] = [raw(digits('root')), raw(digits('code'))];
  assert.deepEqual(account([NONE, VALUE, storageRoot, codeHash])(), { storageRoot, codeHash });
  const eight = new Uint8Array(8).fill(255);
  assert.ok(account([eight, KEY, storageRoot, codeHash])());
  for (const fields of [
    [concat(VALUE, eight), NONE, storageRoot, codeHash], [NONE, concat(VALUE, KEY), storageRoot, codeHash],
    [word(0), NONE, storageRoot, codeHash],
    [Uint8Array.of(0), NONE, storageRoot, codeHash], [NONE, NONE, storageRoot],
    [NONE, NONE, storageRoot, codeHash, NONE],
    [NONE, NONE, NONE, codeHash], [NONE, NONE, storageRoot, concat(VALUE, codeHash)],
    [[], NONE, storageRoot, codeHash], [NONE, NONE, [], codeHash],
  ]) assert.equal(refusal(account(fields)), 'invalid');

  const slot = (/** @type {Uint8Array} */ value) => {
    const trie = new Trie([[hex(keccak256(word(1))), value]]);
    return () => new TrieNodes(trie.nodes).storage(trie.root, word(1));
  };
  assert.deepEqual(slot(encode(VALUE))(), word(7));
  assert.deepEqual(slot(encode(KEY))(), KEY);
  const long = concat(VALUE, KEY);
  for (const value of [...['00', '8107', '0707'].map(raw), ...[NONE, raw('0007'), long, [VALUE]].map(encode)]) {
    assert.equal(refusal(slot(value)), 'invalid');
  }
});

test('RLP has one spelling', () => {
  const strings = [...[55, 56, 256, 70000].map((size) => new Uint8Array(size)), ...['', '00', '7f', '80'].map(raw)];
  const items = [...strings, [], [[], [NONE, [[]]]], [new Uint8Array(60), [KEY]]];
  for (const item of items) {
    const encoded = encode(item);
    assert.deepEqual(rlp.decode(encoded, 'invalid'), item);
    assert.equal(rlp.encodedLength(item), encoded.length);
    assert.equal(refusal(() => rlp.decode(concat(encoded, NONE, Uint8Array.of(0)), 'invalid')), 'invalid');
    if (encoded.length > 1) assert.equal(refusal(() => rlp.decode(encoded.subarray(0, -1), 'malformed')), 'malformed');
  }
  const cut = ['', 'b800', 'f800', 'bf', 'bfffffffffffffffff', 'ffffffffffffffffff', 'c1', 'c281'];
  const long = [`b837${'00'.repeat(55)}`, `b90038${'00'.repeat(56)}`, `f90038${'00'.repeat(56)}`, 'b83700'];
  for (const text of [...cut, ...long, '8100', '817f', 'c28100', '8180c0']) {
    assert.equal(refusal(() => rlp.decode(raw(text), 'invalid')), 'invalid', text);
  }
  const deep = (/** @type {number} */ depth) =>
    Array.from({ length: depth - 1 }).reduce((/** @type {rlp.Item} */ item) => [item], []);
  assert.ok(rlp.decode(encode(deep(16)), 'invalid'));
  assert.equal(refusal(() => rlp.decode(encode(deep(17)), 'invalid')), 'invalid');
  for (const unit of ['c0', 'f9ffff', 'ff0000000000ffffff', '00', 'f8ff']) {
    const bytes = raw(unit.repeat(2 ** 18 / (unit.length / 2)));
    assert.ok(timed(() => refusal(() => rlp.decode(bytes, 'invalid')))[1] < LINEAR);
  }
});

test('headers are 16 to 32 fields by position', () => {
  const eight = new Uint8Array(8).fill(255);
  const sizes = [32, 32, 20, 32, 32, 32, 256, 1, 2, 1, 1, 4, 5, 32, 8, 0];
  const fields = sizes.map((size, i) => new Uint8Array(size).fill(i + 1));
  const header = encode(fields);
  const { hash, stateRoot, number, extraData } = parseHeader(header);
  assert.deepEqual([hash, stateRoot, number, extraData], [keccak256(header), fields[3], 0x0909n, fields[12]]);
  const change = (/** @type {number} */ at, /** @type {rlp.Item} */ field) =>
    encode(fields.map((each, i) => (i === at ? field : each)));
  const more = (/** @type {number} */ count) => encode([...fields, ...Array.from({ length: count }, () => eight)]);
  assert.equal(parseHeader(change(8, eight)).number, 2n ** 64n - 1n);
  assert.equal(parseHeader(change(8, NONE)).number, 0n);
  for (const good of [change(7, KEY), change(15, KEY), change(12, NONE), change(12, new Uint8Array(600)), more(16)]) {
    parseHeader(good);
  }
  const bad = [
    change(7, concat(VALUE, KEY)), change(8, concat(VALUE, eight)), change(9, raw('00')), change(11, raw('0001')),
    change(15, raw('00')), change(12, []), more(17), encode(fields.slice(0, 15)), encode([...fields, []]),
    ...[0, 1, 2, 3, 4, 5, 6, 13, 14].map((at) => change(at, new Uint8Array(sizes[at] - 1))),
    NONE, encode(KEY), concat(header, VALUE),
  ];
  for (const [i, each] of bad.entries()) assert.equal(refusal(() => parseHeader(each)), 'malformed', String(i));
});

test('heads and issuers of the vectors are where the contracts hold them', () => {
  const trust = vectorJson('evidence/trust-480b033a.json');
  const { anchors, batches } = vectorJson('evidence/four-validators.json');
  for (const { head, header, nodes } of anchors) {
    const pool = new TrieNodes(nodes.map(fromBase64));
    const { stateRoot } = parseHeader(fromBase64(header));
    const accounts = ['AnchorLog', 'IssuerRegistry'].map((name) => {
      const { address, code_hash } = trust.contracts[name];
      const account = pool.account(stateRoot, fromHex(address));
      assert.ok(account);
      assert.equal(`0x${hex(account.codeHash)}`, code_hash);
      return account;
    });
    const owner = fromHex(head.owner);
    const slot = headSlot(sha256(utf8(trust.members[0].log)));
    const [logKeyId, root, aux] = [head.log_key_id, head.root, head.aux].map(fromBase64);
    const held = commitment(owner, logKeyId, head.size, root, aux, head.block);
    assert.deepEqual(pool.storage(accounts[0].storageRoot, slot), held);
    for (const { note, key, issuer } of batches) {
      const name = /^issuer (.*)$/m.exec(note)?.[1];
      const keyId = sha256(utf8(`${name}\n\x01`), fromBase64(key));
      const stored = pool.storage(accounts[1].storageRoot, issuerSlot(owner, keyId));
      assert.notDeepEqual(stored, word(0));
      assert.equal(commitment(1, issuer.registered, issuer.revoked, stored).length, 32);
    }
    pool.checkAllUsed();
  }
});
