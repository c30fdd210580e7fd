// SPDX-License-Identifier: GPL-3.0-or-later
// Which trust file this device believes, and when another may take its place (docs/evidence.md, “Trust file”):
// the first is believed on sight and its fingerprint shown until it was compared; later ones only if they follow
// from it, and what no signature covers (names, pages, logs of members) only if the person agrees.

import { openTrust, replaces } from '../verifier/index.js';
import { pin, pinned } from './pinned.js';

/** @typedef {Awaited<ReturnType<typeof openTrust>>} Trust */
/** @typedef {import('./asking.js').Member} Member */
/**
 * The trust file in use. `kept` is whether it will still be there at the next visit.
 * @typedef {{bytes: Uint8Array, fingerprint: string, compared: boolean, kept: boolean, opened: Trust}} Believed
 */
/** @typedef {{key: 'added'|'removed'|'name'|'hosts'|'log', name: string, was: string, now: string}} Change */
/**
 * What became of a trust file that came along.
 * @typedef {{kind: 'pinned'|'renewed', believed: Believed} | {kind: 'same'|'older'|'other'}
 *   | {kind: 'offer', bytes: Uint8Array, changes: Change[]}} Outcome
 */

/**
 * Return the trust file that is pinned here, or null.
 * @returns {Promise<Believed|null>}
 */
export async function believed() {
  const kept = await pinned();
  if (!kept) return null;
  try {
    return { ...kept, kept: true, opened: await openTrust(kept.bytes) };
  } catch {
    // What was pinned by a version that read other files is of no use to this one.
    return null;
  }
}

/**
 * Look at a trust file that was fetched or dropped, and pin it if nobody need be asked.
 * @param {Uint8Array} bytes
 * @param {Believed|null} now the one in use
 * @returns {Promise<Outcome>}
 * @throws {import('../verifier/errors.js').TrustError} it is refused
 */
export async function consider(bytes, now) {
  const opened = await openTrust(bytes);
  if (!now) return { kind: 'pinned', believed: await believe(bytes, false) };
  if (opened.fingerprint === now.fingerprint) return { kind: 'same' };
  if (!(await replaces(now.bytes, bytes))) return { kind: isOlder(opened, now.opened) ? 'older' : 'other' };
  const changes = changed(now.opened.members, opened.members);
  if (changes.length) return { kind: 'offer', bytes, changes };
  return { kind: 'renewed', believed: await believe(bytes, now.compared) };
}

/**
 * @param {Trust} fresh
 * @param {Trust} pinned
 */
function isOlder(fresh, pinned) {
  const same = fresh.evmChainId === pinned.evmChainId && fresh.cometbftChainId === pinned.cometbftChainId;
  return same && fresh.date < pinned.date;
}

/**
 * Pin a trust file and use it from now on.
 * @param {Uint8Array} bytes
 * @param {boolean} compared
 * @returns {Promise<Believed>}
 */
export async function believe(bytes, compared) {
  const kept = await pin(bytes, compared);
  const opened = await openTrust(bytes);
  return { bytes, fingerprint: opened.fingerprint, compared, kept, opened };
}

/**
 * Return what is new in the members of a trust file: what a person has to confirm.
 * @param {readonly Member[]} before
 * @param {readonly Member[]} after
 * @returns {Change[]}
 */
export function changed(before, after) {
  const old = new Map(before.map((one) => [String(one.owner), one]));
  const left = new Map(old);
  /** @type {Change[]} */
  const changes = [];
  for (const one of after) {
    const was = old.get(String(one.owner));
    left.delete(String(one.owner));
    if (!was) changes.push({ key: 'added', name: one.name, was: '', now: said(one.hosts) });
    else changes.push(...differences(was, one));
  }
  return [...changes, ...[...left.values()].map(({ name }) => ({ key: /** @type {const} */ ('removed'), name, was: '', now: '' }))];
}

/**
 * @param {Member} was
 * @param {Member} now
 * @returns {Change[]}
 */
function differences(was, now) {
  const told = /** @type {const} */ (['name', 'hosts', 'log']);
  return told
    .map((key) => ({ key, name: now.name, was: said(was[key]), now: said(now[key]) }))
    .filter((one) => one.was !== one.now);
}

/** @param {string|readonly string[]} value */
function said(value) {
  return typeof value === 'string' ? value : value.join(', ') || '–';
}
