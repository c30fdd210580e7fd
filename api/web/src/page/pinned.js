// SPDX-License-Identifier: GPL-3.0-or-later
// Keeps the one trust file that this browser believes in: IndexedDB `moneo`, store `trust`, key `pinned`.
// Pages of the same province share it. Where a browser keeps nothing (private windows, some web views)
// it lasts as long as the page, and `pin` says so.

import { fingerprint } from '../verifier/index.js';

/** @typedef {{bytes: Uint8Array, fingerprint: string, compared: boolean}} Pinned */

const KEY = 'pinned';
/** @type {Pinned|null} */
let unkept = null;

/**
 * Return the pinned trust file, or null if there is none yet.
 * @returns {Promise<Pinned|null>}
 */
export async function pinned() {
  try {
    const kept = await ask('readonly', (store) => store.get(KEY));
    if (kept?.bytes instanceof Uint8Array) {
      return { bytes: kept.bytes, fingerprint: fingerprint(kept.bytes), compared: kept.compared === true };
    }
  } catch {
    // What this browser does not let us keep is asked for anew.
  }
  return unkept;
}

/**
 * Pin a trust file in the place of the one before; whoever calls has asked `replaces` and the person.
 * @param {Uint8Array} bytes
 * @param {boolean} [compared] whether the person has compared its fingerprint
 * @returns {Promise<boolean>} whether it will still be there at the next visit
 */
export async function pin(bytes, compared = false) {
  unkept = { bytes, fingerprint: fingerprint(bytes), compared };
  return done('readwrite', (store) => store.put({ bytes, compared }, KEY));
}

/**
 * Forget the pinned trust file.
 * @returns {Promise<boolean>} whether nothing of it is left
 */
export async function unpin() {
  unkept = null;
  return done('readwrite', (store) => store.delete(KEY));
}

/**
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} request
 */
async function done(mode, request) {
  try {
    await ask(mode, request);
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} request
 * @returns {Promise<any>}
 */
async function ask(mode, request) {
  const database = await opened();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction('trust', mode);
      const asked = request(transaction.objectStore('trust'));
      transaction.oncomplete = () => resolve(asked.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** @returns {Promise<IDBDatabase>} */
function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('moneo', 1);
    request.onupgradeneeded = () => request.result.createObjectStore('trust');
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onblocked = () => reject(request.error);
  });
}
