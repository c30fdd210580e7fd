// SPDX-License-Identifier: GPL-3.0-or-later
// Bytes and their texts: base64 and base64url (RFC 4648 §4, §5) and hex, one spelling for each value.
// What is spelled otherwise is `malformed`.

import { Refused } from './errors.js';

/** @typedef {Uint8Array} Bytes */

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BASE64URL = `${BASE64.slice(0, 62)}-_`;
const HEX = '0123456789abcdef';
const NO_DIGIT = 255;
const ENCODER = new TextEncoder();

/** @param {...Bytes} parts */
export function concat(...parts) {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** @param {Bytes} a @param {Bytes} b */
export const equal = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** UTF-8 of a text without lone surrogates. @param {string} text @returns {Bytes} */
export const utf8 = (text) => ENCODER.encode(text);

/** Lower-case digits without prefix. @param {Bytes} bytes */
export function hex(bytes) {
  let digits = '';
  for (const byte of bytes) digits += HEX[byte >> 4] + HEX[byte & 15];
  return digits;
}

/** Reads *hex*: `0x` and lower-case digits. @param {string} text */
export function fromHex(text) {
  if (!text.startsWith('0x')) throw new Refused('malformed', 'hex without 0x');
  return fromDigits(text.slice(2), HEX_DIGITS);
}

/** Reads CometBFT's HEX: upper-case digits without prefix. @param {string} text */
export const fromUpperHex = (text) => fromDigits(text, UPPER_HEX_DIGITS);

/** @param {Bytes} bytes */
export const base64 = (bytes) => {
  const digits = encode(bytes, BASE64);
  return digits.padEnd(Math.ceil(digits.length / 4) * 4, '=');
};

/** @param {string} text padded */
export function fromBase64(text) {
  const digits = text.endsWith('==') ? -2 : text.endsWith('=') ? -1 : undefined;
  if (text.length % 4) throw new Refused('malformed', 'base64 without its padding');
  return decode(text.slice(0, digits), BASE64_DIGITS);
}

/** @param {Bytes} bytes */
export const base64url = (bytes) => encode(bytes, BASE64URL);

/** @param {string} text without padding */
export const fromBase64url = (text) => decode(text, BASE64URL_DIGITS);

/** @param {string} digits by value @returns {Bytes} value by character code */
function values(digits) {
  const table = new Uint8Array(128).fill(NO_DIGIT);
  for (let i = 0; i < digits.length; i++) table[digits.charCodeAt(i)] = i;
  return table;
}

const HEX_DIGITS = values(HEX);
const UPPER_HEX_DIGITS = values(HEX.toUpperCase());
const BASE64_DIGITS = values(BASE64);
const BASE64URL_DIGITS = values(BASE64URL);

/** @param {string} text @param {number} at @param {Bytes} table */
function digit(text, at, table) {
  const value = table[text.charCodeAt(at)] ?? NO_DIGIT;
  if (value === NO_DIGIT) throw new Refused('malformed', 'no digit of this encoding');
  return value;
}

/** @param {string} text @param {Bytes} table */
function fromDigits(text, table) {
  if (text.length % 2) throw new Refused('malformed', 'half a byte of hex');
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = (digit(text, 2 * i, table) << 4) | digit(text, 2 * i + 1, table);
  }
  return bytes;
}

/** @param {Bytes} bytes @param {string} alphabet */
function encode(bytes, alphabet) {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const bits = (bytes[i] << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    text += alphabet[bits >> 18] + alphabet[(bits >> 12) & 63] + alphabet[(bits >> 6) & 63] + alphabet[bits & 63];
  }
  return text.slice(0, Math.ceil((bytes.length * 4) / 3));
}

/** @param {string} text without padding @param {Bytes} table */
function decode(text, table) {
  if (text.length % 4 === 1) throw new Refused('malformed', 'base64 of no whole number of bytes');
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  for (let i = 0, at = 0; i < text.length; i++) {
    bits = ((bits << 6) | digit(text, i, table)) & 0xfff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[at++] = bits >> held;
    }
  }
  if (bits & ((1 << held) - 1)) throw new Refused('malformed', 'base64 with trailing bits');
  return bytes;
}
