// SPDX-License-Identifier: GPL-3.0-or-later
// Tells what a scanned or pasted text leads to, before anything is asked of anybody: this province, another member,
// never a stranger. What may be asked is fetched by fetching.js.

import { codePath } from '../verifier/index.js';

export { ask, contents, NotHad } from './fetching.js';

/** @typedef {{owner: unknown, name: string, hosts: string[], log: string}} Member */
/**
 * Where a text leads: a file at one's own or a member's page, a stranger's page, or nowhere.
 * @typedef {{kind: 'ask', url: string, code: string|null, host: string}
 *   | {kind: 'stranger', host: string} | {kind: 'nothing'}} Way
 */

// A label may leave the scheme out.
const BARE_LINK = /^[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?\//i;
const LINK = /^https?:\/\//i;
const RECORD = /^\/v1\/records\/[A-Za-z0-9_.-]+\/evidence$/;

/**
 * Return where a scanned or pasted text leads: a link, a code's path or a GS1 element string.
 * @param {string} text
 * @param {Member[]} members those of the trust file
 * @returns {Way}
 */
export function way(text, members) {
  const said = text.trim();
  const full = LINK.test(said) || !BARE_LINK.test(said) ? said : `https://${said}`;
  const url = LINK.test(full) && URL.canParse(full) ? new URL(full) : null;
  if (!url || url.origin === location.origin) return inside(full, location.origin, url);
  // A member's page is asked over TLS, whatever the label says.
  if (members.some((one) => one.hosts.includes(url.host))) return inside(full, `https://${url.host}`, url);
  return { kind: 'stranger', host: url.host };
}

/**
 * Return what a text leads to at a page that may be asked.
 * @param {string} said
 * @param {string} base the page's origin
 * @param {URL|null} url the text, if it is a link
 * @returns {Way}
 */
function inside(said, base, url) {
  const host = new URL(base).host;
  if (url && RECORD.test(url.pathname)) return { kind: 'ask', url: base + url.pathname, code: null, host };
  const asked = url && inLink(url);
  try {
    const code = codePath(asked ?? said);
    return { kind: 'ask', url: `${base}/v1/evidence?code=${encodeURIComponent(code)}`, code, host };
  } catch {
    return { kind: 'nothing' };
  }
}

/**
 * Return the code that a link to evidence, or to a page like this one, names besides its path.
 * @param {URL} url
 */
function inLink(url) {
  if (url.pathname === '/v1/evidence') return url.searchParams.get('code');
  return url.pathname === '/verify' ? new URLSearchParams(url.hash.slice(1)).get('code') : null;
}
