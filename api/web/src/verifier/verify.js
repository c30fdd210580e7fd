// SPDX-License-Identifier: GPL-3.0-or-later
// Verification: evidence and a trust file in, a verdict out, by the numbered steps of docs/evidence.md. Reads no clock,
// storage or network.
//
//   0 read       the file is evidence, whole and within its limits
//   1 record     each record lies in its batch
//   2 signature  its issuer signed the batch
//   3 log        the batch lies in the log, whose key signed the checkpoint
//   4 state      the chain's state holds this checkpoint and this issuer
//   5 header     a light block carries the EVM header of that state
//   6 finality   validators whom the trust file leads to have signed the light block
//   7 code       every record belongs to the expected code
//   8 age        how old it all is; nothing fails here

import { base64, base64url, equal, hex, utf8 } from './bytes.js';
import { parseCheckpoint } from './checkpoint.js';
import { roundedUp } from './cometbft.js';
import { parseCode } from './codes.js';
import { finality } from './eras.js';
import { Refused, check } from './errors.js';
import { readEvidence } from './evidence.js';
import { commitment, headSlot, issuerSlot } from './evm.js';
import { holds, isLineOf, keyIdOf } from './note.js';
import { classify, prefixesOf } from './statements.js';
import { leafHash, rootFromPath, sha256 } from './tree.js';
import { TrieNodes } from './trie.js';
import { openTrust } from './trust.js';
import { notesOn, provenRecord, recordId, verdict } from './verdict.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {import('./evidence.js').Evidence} Evidence */
/** @typedef {import('./evidence.js').EvidenceAnchor} EvidenceAnchor */
/** @typedef {import('./evidence.js').EvidenceBatch} EvidenceBatch */
/** @typedef {import('./trust.js').Trust} Trust */
/** @typedef {import('./codes.js').Code} Code */
/** @typedef {import('./verdict.js').Verdict} Verdict */
/** @typedef {import('./verdict.js').Step} Step */

const CUSTODY = { holder: 1, operator: 2 };
const REGISTRATION = 'moneo.registration';

/** What fails after reading is `invalid` but for these. */
const LATER_KINDS = new Set(['untrusted', 'mismatch']);

/**
 * What evidence proves. Rejects with TrustError if the trust file is refused, with CodeError if the code is none, and
 * with nothing else.
 * @param {Bytes} evidence @param {Bytes} trust
 * @param {{code?: string|null, now?: number|null}} asked `code`: a path, a Digital Link or a GS1 element string; `now`: POSIX seconds
 * @returns {Promise<Verdict>}
 */
export async function verify(evidence, trust, { code = null, now = null } = {}) {
  const trusted = await openTrust(trust);
  const expected = code === null ? null : parseCode(code);
  const verification = new Verification(trusted, expected, now);
  const failure = await verification.run(evidence);
  return verdict({ ...verification.report(), failure, ...(failure ? {} : verification.outcome()) });
}

/** One run through the steps. */
class Verification {
  /** @param {Trust} trust @param {Code|null} expected @param {number|null} now */
  constructor(trust, expected, now) {
    this.trust = trust;
    this.expected = expected;
    this.now = now;
    /** @type {{state: Step['state'], detail: string}[]} */
    this.told = [];
    /** @type {Evidence} */
    this.file = { records: [], batches: [], anchors: [], lightBlocks: [], eras: [] };
    /** @type {import('./eras.js').Assurance[]} */
    this.assurances = [];
    /** @type {(import('./statements.js').Class|null)[]} */
    this.classes = [];
    /** @type {number[][]} */
    this.superseders = [];
  }

  report() {
    return { fingerprint: this.trust.fingerprint, expectCode: this.expected?.path ?? null, told: this.told };
  }

  /** Returns the first failure. @param {Bytes} evidence @returns {Promise<import('./verdict.js').Failure|null>} */
  async run(evidence) {
    /** @type {(() => string|null|Promise<string>)[]} each returns what it found, or null if it is skipped */
    const steps = [
      () => this.read(evidence),
      () => this.records(),
      () => this.signatures(),
      () => this.logs(),
      () => this.states(),
      () => this.headers(),
      () => this.finality(),
      () => this.code(),
      () => this.age(),
    ];
    for (const [step, take] of steps.entries()) {
      try {
        const detail = await take();
        this.told.push(detail === null ? { state: 'skipped', detail: '' } : { state: 'ok', detail });
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        const kind = step === 0 || LATER_KINDS.has(error.kind) ? error.kind : 'invalid';
        this.told.push({ state: 'failed', detail: error.message });
        return { step, kind, detail: error.message };
      }
    }
    return null;
  }

  /** @param {Bytes} evidence */
  read(evidence) {
    this.file = readEvidence(evidence);
    const { records, batches, anchors } = this.file;
    return `records: ${records.length}, batches: ${batches.length}, anchors: ${anchors.length}`;
  }

  records() {
    const { records, batches } = this.file;
    for (const [i, { shown, batch, index, path }] of records.entries()) {
      const { size, root } = batches[batch].statement;
      const reached = rootFromPath(shown.leaf, index, size, path);
      check(equal(reached, root), 'invalid', `record ${i} is not in its batch`);
    }
    return `records in their batches: ${records.length}`;
  }

  async signatures() {
    const { batches } = this.file;
    await each(batches, async ({ statement: { text, signature, issuer, log }, key, proof }, i) => {
      const signed = isLineOf(signature, issuer, key) && (await holds(signature, text, key));
      check(signed, 'invalid', `batch ${i} is not signed by its issuer's key`);
      check(proof.origin === log, 'invalid', `batch ${i} is of another log than its checkpoint`);
    });
    return `issuers: ${new Set(batches.map(({ statement }) => statement.issuer)).size}`;
  }

  async logs() {
    const { batches, anchors } = this.file;
    await each(batches, (batch, i) => checkLogged(batch, anchors[batch.anchor], i));
    return `checkpoints: ${new Set(batches.map(({ proof }) => proof.checkpoint)).size}`;
  }

  states() {
    const { batches, anchors } = this.file;
    for (const [i, anchor] of anchors.entries()) {
      checkState(anchor, batches.filter(({ anchor: at }) => at === i), this.trust);
    }
    return `states: ${anchors.length}`;
  }

  headers() {
    const { anchors, lightBlocks } = this.file;
    for (const [i, { header, newer, lightBlock }] of anchors.entries()) {
      const carried = equal((newer ?? header).hash, lightBlocks[lightBlock].appHash);
      check(carried, 'invalid', `the light block of anchor ${i} carries another EVM header`);
    }
    return `EVM blocks ${anchors.map(({ header }) => header.number).join(', ')}`;
  }

  async finality() {
    const { batches, anchors, lightBlocks } = this.file;
    const keys = [...batches.map(({ key }) => key), ...anchors.map(({ logKey }) => logKey)];
    this.assurances = await finality({ ...this.file, keys }, this.trust);
    return `signed at height ${lightBlocks.map(({ header }) => header.height).join(', ')}`;
  }

  code() {
    this.superseders = superseders(this.file);
    this.classes = this.file.records.map(() => null);
    if (!this.expected) return null;
    this.classes = classify(this.expected, this.spoken());
    const stranger = this.classes.indexOf(null);
    check(stranger < 0, 'mismatch', `record ${stranger} is of another code`);
    return `records of this code, or leading to it: ${this.classes.length}`;
  }

  age() {
    return this.now === null ? null : 'age of evidence and trust file: see the notes';
  }

  /** What is looked at of each record to tell whose word it is. @returns {import('./statements.js').Spoken[]} */
  spoken() {
    const { records, batches } = this.file;
    const writers = batches.map(({ statement, issuer }) => ({ issuer: statement.issuer, prefixes: prefixesOf(issuer.registration.fields) }));
    return records.map(({ shown, batch }, i) => ({
      ...writers[batch],
      type: shown.type,
      live: shown.mode === 'live',
      superseded: this.superseders[i].length > 0,
      codes: shown.codes,
      fields: shown.fields,
    }));
  }

  outcome() {
    const { records, batches, anchors, lightBlocks } = this.file;
    const provinces = new Map(this.trust.members.map(({ owner, name }) => [owner, name]));
    const found = anchors.map(({ head, lightBlock }) => ({
      province: provinces.get(ownerOf(head)) ?? '',
      when: roundedUp(lightBlocks[lightBlock].header.time),
      assurance: this.assurances[lightBlock],
      validators: lightBlocks[lightBlock].validators.length,
    }));
    const ids = records.map(({ batch, index }) => recordId(batches[batch].statement.id, index));
    const shown = records.map((record, i) => {
      const batch = batches[record.batch];
      return provenRecord(record, batch, found[batch.anchor], this.classes[i], this.superseders[i].map((by) => ids[by]));
    });
    const isMember = anchors.every(({ head }) => provinces.has(ownerOf(head)));
    return { records: shown, notes: notesOn(shown, isMember, this.trust, this.now) };
  }
}

/**
 * Checks all at once, for signatures take their time elsewhere; the first in the file that fails is told.
 * @template Item
 * @param {Item[]} items @param {(item: Item, i: number) => Promise<void>} checkOne
 */
async function each(items, checkOne) {
  const outcomes = await Promise.allSettled(items.map(checkOne));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

/** As the trust file has it. @param {EvidenceAnchor['head']} head */
const ownerOf = ({ owner }) => `0x${hex(owner)}`;

/** Step 3 of one batch. @param {EvidenceBatch} batch @param {EvidenceAnchor} anchor @param {number} i */
async function checkLogged({ note, key, proof }, { logKey, head }, i) {
  const checkpoint = parseCheckpoint(proof.checkpoint);
  const { text, origin, size, root, signatures } = checkpoint;
  const line = signatures.find((one) => isLineOf(one, origin, logKey));
  check(line && (await holds(line, text, logKey)), 'invalid', `the checkpoint of batch ${i} is not signed by the log's key`);
  const reached = rootFromPath(leafHash(utf8(note)), proof.index, size, proof.path);
  check(equal(reached, root), 'invalid', `batch ${i} is not in the log`);
  const anchored = equal(head.logKeyId, keyIdOf(origin, logKey)) && head.size === size && equal(head.root, root);
  check(anchored, 'invalid', `the checkpoint of batch ${i} is not the one that was anchored`);
  check(!equal(key, logKey), 'invalid', `the issuer of batch ${i} signs with the log's key`);
}

/** Step 4 of one anchor. @param {EvidenceAnchor} anchor @param {EvidenceBatch[]} batches its own @param {Trust} trust */
function checkState({ head, header, nodes }, batches, trust) {
  check(BigInt(head.block) <= header.number, 'invalid', 'a head of a later block than its state');
  const pool = new TrieNodes(nodes);
  const storageOf = (/** @type {import('./trust.js').Contract} */ { address, codeHash }, /** @type {string} */ name) => {
    const account = pool.account(header.stateRoot, address);
    check(account && equal(account.codeHash, codeHash), 'untrusted', `${name} is not the contract that is trusted`);
    return account.storageRoot;
  };
  const { owner, logKeyId, size, root, aux, block } = head;
  const slot = headSlot(sha256(utf8(batches[0].statement.log)));
  const held = pool.storage(storageOf(trust.anchorLog, 'AnchorLog'), slot);
  check(equal(held, commitment(owner, logKeyId, size, root, aux, block)), 'invalid', 'AnchorLog holds another head');
  const registry = storageOf(trust.issuerRegistry, 'IssuerRegistry');
  for (const batch of batches) checkIssuer(batch, head, (at) => pool.storage(registry, at));
  pool.checkAllUsed();
}

/** @param {EvidenceBatch} batch @param {EvidenceAnchor['head']} head @param {(slot: Bytes) => Bytes} registry */
function checkIssuer({ key, statement, issuer }, { owner, block }, registry) {
  const { custody, registered, revoked, registration } = issuer;
  const held = registry(issuerSlot(owner, keyIdOf(statement.issuer, key)));
  const says = commitment(CUSTODY[custody], registered, revoked, registration.leaf);
  check(equal(held, says), 'invalid', 'IssuerRegistry holds another issuer');
  check(revoked === 0, 'invalid', 'the key was revoked');
  check(registered <= block, 'invalid', 'the key was registered later');
  check(registration.type === REGISTRATION && registration.mode === 'live', 'invalid', 'no live registration record');
  const { fields } = registration;
  const isOf = (/** @type {string} */ name, /** @type {string} */ value) => !fields.has(name) || fields.get(name) === value;
  check(isOf('issuer', statement.issuer) && isOf('key', base64(key)), 'invalid', 'the registration is of another issuer or key');
}

/** Of each record the indexes of those that supersede it, ascending. @param {Evidence} file @returns {number[][]} */
function superseders({ records, batches }) {
  /** @type {Map<string, number[]>} */
  const byLeaf = new Map(records.map(({ shown }) => [base64url(shown.leaf), []]));
  for (const [i, { shown }] of records.entries()) for (const leaf of shown.re) byLeaf.get(leaf)?.push(i);
  const issuerOf = (/** @type {number} */ at) => batches[records[at].batch].statement.issuer;
  return records.map(({ shown }, i) => {
    const may = (/** @type {number} */ by) => issuerOf(by) === issuerOf(i) && (records[by].shown.mode === 'live' || shown.mode === 'practice');
    return (byLeaf.get(base64url(shown.leaf)) ?? []).filter(may);
  });
}
