// SPDX-License-Identifier: GPL-3.0-or-later
// Fetches a file, bounded in size and time and without cookies. Needs nothing else, so that a page can ask
// before the verifier has come.

const MAX_BYTES = 1 << 20;
const SECONDS = 20;

/** What could not be had, with the key of the sentence that says so. */
export class NotHad extends Error {
  /**
   * @param {string} key
   * @param {string} [said] what the server said
   */
  constructor(key, said = '') {
    super(key);
    this.key = key;
    this.said = said;
  }
}

/**
 * Return the bytes at an address of this province or of a member.
 * @param {string} url
 * @param {string} language
 * @returns {Promise<Uint8Array>}
 * @throws {NotHad} 'offline', 'refused' with the server's words, 'too-large'
 */
export async function ask(url, language) {
  const answer = await fetch(url, {
    headers: { 'Accept-Language': language },
    credentials: 'omit',
    redirect: 'error',
    signal: AbortSignal.timeout(SECONDS * 1000),
  }).catch(() => {
    throw new NotHad('offline');
  });
  const bytes = await bounded(answer).catch((error) => {
    // The connection may break off in the middle, too.
    throw error instanceof NotHad ? error : new NotHad('offline');
  });
  if (answer.ok) return bytes;
  throw new NotHad('refused', problem(bytes) || `HTTP ${answer.status}`);
}

/**
 * Return a file's bytes, refused unread if it is larger than evidence may be.
 * @param {Blob} file
 * @returns {Promise<Uint8Array>}
 */
export async function contents(file) {
  if (file.size > MAX_BYTES) throw new NotHad('too-large');
  return new Uint8Array(await file.arrayBuffer());
}

/** @param {Response} answer */
async function bounded(answer) {
  const parts = [];
  let size = 0;
  const reader = answer.body?.getReader();
  for (let part = await reader?.read(); part && !part.done; part = await reader?.read()) {
    size += part.value.length;
    if (size > MAX_BYTES) {
      await reader?.cancel();
      throw new NotHad('too-large');
    }
    parts.push(part.value);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * Return what a problem document (RFC 9457) says.
 * @param {Uint8Array} bytes
 */
function problem(bytes) {
  try {
    const { title, detail } = JSON.parse(new TextDecoder().decode(bytes));
    return [title, detail].filter((one) => typeof one === 'string').join('. ').replace(/\.\.+/g, '.').slice(0, 500);
  } catch {
    return '';
  }
}
