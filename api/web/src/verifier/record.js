// SPDX-License-Identifier: GPL-3.0-or-later
// Records: a presentation shows some fields of a leaf and names the others (docs/evidence.md, “records”). Disclosures
// are those of RFC 9901.

import { base64url, fromBase64url, utf8 } from './bytes.js';
import { check } from './errors.js';
import { parse } from './ijson.js';
import { leafHash, sha256 } from './tree.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {import('./ijson.js').Value} Value */

/**
 * A record as it is shown. `re` and `codes` are base64url, as in its lines; `hidden` is ascending.
 * @typedef {{type: string, mode: string, re: string[], codes: string[], fields: Map<string, Value>, hidden: string[], leaf: Bytes}} Shown
 */

const [MAX_RE, MAX_CODES, MAX_FIELDS] = [8, 64, 256];
const MAX_DEPTH = 16;
const SALT_BYTES = 16;
const NAME = /^[A-Za-z0-9_.:@-]{1,64}$/;
const TYPE = /^type ([a-z.]{1,40})$/;
const MODE = /^mode (live|practice)$/;

/** Reads a presentation. Throws `Refused('malformed')`. @param {string} text @returns {Shown} */
export function parseRecord(text) {
  const lines = text.split('\n');
  const [title, typeLine, modeLine] = lines;
  const [type, mode] = [TYPE.exec(typeLine ?? ''), MODE.exec(modeLine ?? '')];
  check(title === 'moneo/record/v1' && type && mode && lines.pop() === '', 'malformed', 'no record');
  const rest = lines.slice(3);
  const re = hashes(taken(rest, 're '), MAX_RE);
  const codes = hashes(taken(rest, 'code '), MAX_CODES);
  const hidden = taken(rest, 'field ').map(fieldLine);
  check(rest.length === 1, 'malformed', 'record: not one line of disclosures at the end');
  const shown = disclosures(rest[0]);
  checkAscending(hidden.map(({ name }) => name));
  checkAscending(shown.map(({ name }) => name));
  const fields = [...hidden, ...shown].sort((a, b) => (a.name < b.name ? -1 : 1));
  checkAscending(fields.map(({ name }) => name));
  check(fields.length >= 1 && fields.length <= MAX_FIELDS, 'malformed', 'record: not 1 to 256 fields');
  const head = text.slice(0, text.length - rest[0].length - 1 - hidden.reduce((sum, { line }) => sum + line.length + 1, 0));
  return {
    type: type[1],
    mode: mode[1],
    re,
    codes,
    fields: new Map(shown.map(({ name, value }) => [name, value])),
    hidden: hidden.map(({ name }) => name),
    leaf: leafHash(utf8(head + fields.map(({ line }) => `${line}\n`).join(''))),
  };
}

/** Takes away the lines at the front that begin so; returns what follows in each. @param {string[]} lines @param {string} start */
function taken(lines, start) {
  const end = lines.findIndex((line) => !line.startsWith(start));
  return lines.splice(0, end < 0 ? lines.length : end).map((line) => line.slice(start.length));
}

/** @param {string[]} texts base64url @param {number} most */
function hashes(texts, most) {
  check(texts.length <= most, 'malformed', `record: more than ${most} lines of a kind`);
  texts.forEach(hash);
  checkAscending(texts);
  return texts;
}

/** @param {string} text */
function hash(text) {
  check(fromBase64url(text).length === 32, 'malformed', 'record: no hash');
  return text;
}

/** @param {string} rest of the line */
function fieldLine(rest) {
  const [name, digest, ...more] = rest.split(' ');
  check(NAME.test(name) && digest !== undefined && !more.length, 'malformed', 'record: no field');
  return { name, line: `field ${name} ${hash(digest)}` };
}

/** @param {string} line */
function disclosures(line) {
  check(line.startsWith('~') && line.endsWith('~'), 'malformed', 'record: no line of disclosures');
  return line === '~' ? [] : line.slice(1, -1).split('~').map(disclosure);
}

/** @param {string} text */
function disclosure(text) {
  const triple = parse(fromBase64url(text), MAX_DEPTH);
  check(Array.isArray(triple) && triple.length === 3, 'malformed', 'disclosure: not salt, name and value');
  const [salt, name, value] = triple;
  check(typeof salt === 'string' && fromBase64url(salt).length === SALT_BYTES, 'malformed', 'disclosure: no salt');
  check(typeof name === 'string' && NAME.test(name), 'malformed', 'disclosure: no name of a field');
  return { name, value, line: `field ${name} ${base64url(sha256(utf8(text)))}` };
}

/** Strictly, in the order of ASCII. @param {string[]} texts */
function checkAscending(texts) {
  const areSo = texts.every((text, i) => i === 0 || texts[i - 1] < text);
  check(areSo, 'malformed', 'record: lines are not strictly ascending');
}
