// SPDX-License-Identifier: GPL-3.0-or-later
// Trace codes as labels, links and people write them, and the one spelling of each (docs/evidence.md, “Codes”).

import { utf8 } from './bytes.js';
import { CodeError } from './errors.js';
import { sha256 } from './tree.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {'serial'|'lot'|'gtin'|'own'} Level */

/**
 * A code: its canonical path, and the paths of its levels from the narrowest to the widest.
 * @typedef {{path: string, levels: {level: Level, path: string}[]}} Code
 */

const MAX_LENGTH = 2048;
const SET_82 = /^[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]+$/;
const MAX_COMPONENT = 20;
const SEGMENT = /^(?:[A-Za-z0-9\-._!&'()*+,;=:]|%[0-9A-Fa-f]{2})+$/;
const OWN = /^\/c(?:\/[A-Za-z0-9\-._~]{1,64}){1,8}$/;
const GS1 = /^\/01\/([0-9]{14})(?:\/10\/([^/]*))?(?:\/21\/([^/]*))?$/;
const LINK = /^https?:\/\/[^/?#\\]+([^?#\\]*)(?:[?#]|$)/i;
const NOT_IN_LINK = /[\u0000-\u0020\u007f]/;
const STEM = /\/01\/[0-9]{14}(?=\/|$)/;
const DOTS = /^\.\.?$/;
const SYMBOLOGY = /^\](?:C1|e0|d2|Q3|J1)/;
const PRINTED = /\(([0-9]{2,4})\)(.*?)(?=\([0-9]{2,4}\)|$)/gsy;
const GS = '\u001d';
// GS1 General Specifications, figure 7.8.5-2: by its first two digits, how long an element is that needs no separator.
const LENGTHS = new Map(
  /** @type {[number, string][]} */ ([
    [20, '00'], [16, '01 02 03 41'], [18, '04'], [8, '11 12 13 14 15 16 17 18 19'], [4, '20'], [10, '31 32 33 34 35 36'],
  ]).flatMap(([length, identifiers]) => identifiers.split(' ').map((one) => /** @type {const} */ ([one, length]))),
);

/**
 * Reads a code in any of its forms: a path, a Digital Link, a GS1 element string. Throws `CodeError`.
 * @param {string} text @returns {Code}
 */
export function parseCode(text) {
  checkLength(text);
  return text.startsWith('/') || text.includes('://') ? parseName(text) : fromElements(text);
}

/**
 * Reads a code as records name it: a path or a Digital Link. Throws `CodeError`.
 * @param {string} text @returns {Code}
 */
export function parseName(text) {
  checkLength(text);
  return text.startsWith('/') ? fromPath(text) : fromLink(text);
}

/** The canonical path of a code in any of its forms. Throws `CodeError`. @param {string} text */
export const codePath = (text) => parseCode(text).path;

/** K: how a record names a code without saying it. @param {string} path canonical */
export const codeHash = (path) => sha256(utf8(`moneo/code/v1\n${path}`));

/** @param {string} text */
function fromLink(text) {
  const match = NOT_IN_LINK.test(text) ? null : LINK.exec(text);
  if (!match) throw new CodeError('a Digital Link begins with https:// and a host');
  const [, path] = match;
  const stem = path.startsWith('/c/') ? null : STEM.exec(path);
  return fromPath(stem ? path.slice(stem.index) : path);
}

/** @param {string} path @returns {Code} */
function fromPath(path) {
  return path.startsWith('/c/') ? own(path) : gs1(path);
}

/** @param {string} path @returns {Code} */
function own(path) {
  const isOne = OWN.test(path) && !path.split('/').some((segment) => DOTS.test(segment));
  if (!isOne) throw new CodeError('an own code is /c/ and 1 to 8 segments of A-Z a-z 0-9 - . _ ~');
  return { path, levels: [{ level: 'own', path }] };
}

/** @param {string} text @returns {Code} */
function gs1(text) {
  const match = GS1.exec(text);
  if (!match) throw new CodeError('expected /01/{gtin}[/10/{lot}][/21/{serial}] or /c/{own code}');
  const [, gtin, lot, serial] = match;
  const digit = checkDigit(gtin);
  if (gtin[13] !== digit) throw new CodeError(`wrong check digit: ${gtin} should end in ${digit}`);
  /** @type {Code['levels']} */
  const levels = [{ level: 'gtin', path: `/01/${gtin}` }];
  if (lot !== undefined) levels.unshift({ level: 'lot', path: `${levels[0].path}/10/${component(lot)}` });
  if (serial !== undefined) levels.unshift({ level: 'serial', path: `${levels[0].path}/21/${component(serial)}` });
  return { path: levels[0].path, levels };
}

/** The one spelling of a lot or a serial: all but RFC 3986's unreserved characters is encoded. @param {string} text */
function component(text) {
  const plain = SEGMENT.test(text) ? text.replace(/%(..)/g, (_, digits) => String.fromCharCode(parseInt(digits, 16))) : '';
  const isOne = SET_82.test(plain) && plain.length <= MAX_COMPONENT && !DOTS.test(plain);
  if (!isOne) throw new CodeError("a lot or serial is 1 to 20 characters of GS1's set 82");
  return encoded(plain);
}

/** @param {string} plain of set 82 */
function encoded(plain) {
  return plain.replace(/[^A-Za-z0-9\-._]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** @param {string} text @returns {Code} */
function fromElements(text) {
  const elements = split(text.replace(SYMBOLOGY, ''));
  const areElements = elements.length > 0 && elements.every(([, value]) => SET_82.test(value));
  if (!areElements) throw new CodeError('neither a path, nor a Digital Link, nor a GS1 element string');
  const [gtins, lots, serials] = ['01', '10', '21'].map((wanted) => elements.filter(([one]) => one === wanted));
  const isOne = gtins.length === 1 && lots.length <= 1 && serials.length <= 1;
  if (!isOne) throw new CodeError('a GS1 element string needs one GTIN (01), and one lot (10) and serial (21) at most');
  return gs1(['', ...[...gtins, ...lots, ...serials].flatMap(([one, value]) => [one, encoded(value)])].join('/'));
}

/** Identifier and value of each element; the value is no text of set 82 where there is no element. @param {string} text */
function split(text) {
  return text.startsWith('(') ? printed(text) : scanned(text.startsWith(GS) ? text.slice(1) : text);
}

/** @param {string} text @returns {[string, string][]} */
function printed(text) {
  return [...text.matchAll(PRINTED)].map(([, identifier, value]) => [identifier, value]);
}

/** @param {string} text @returns {[string, string][]} */
function scanned(text) {
  /** @type {[string, string][]} */
  const elements = [];
  for (let at = 0; at < text.length; at += text[at] === GS ? 1 : 0) {
    const identifier = text.slice(at, at + 2);
    const end = at + (LENGTHS.get(identifier) ?? `${text.slice(at)}${GS}`.indexOf(GS));
    elements.push([identifier, /^[0-9]{2}$/.test(identifier) ? text.slice(at + 2, end) : '']);
    at = Math.min(end, text.length);
  }
  return elements;
}

/** GS1's check digit, by weights 3 and 1. @param {string} gtin */
function checkDigit(gtin) {
  const sum = [...gtin.slice(0, 13)].reduce((total, digit, at) => total + Number(digit) * (at % 2 ? 1 : 3), 0);
  return String((10 - (sum % 10)) % 10);
}

/** @param {string} text */
function checkLength(text) {
  // Most texts are short: no need to count their characters.
  const isShort = text.length <= MAX_LENGTH || (text.length <= 2 * MAX_LENGTH && [...text].length <= MAX_LENGTH);
  if (!isShort) throw new CodeError(`longer than ${MAX_LENGTH} characters`);
}
