// SPDX-License-Identifier: GPL-3.0-or-later
// I-JSON (RFC 7493), read strictly, and the shapes in which docs/evidence.md writes things in it.
//
// `JSON.parse` keeps the last of two members of a name and cannot tell `1.0` from `1`. Here an object becomes a Map
// (`__proto__` is a name like any other), an integer a number, and what has a fraction or an exponent a `Real`: so it
// is never taken for a natural.

import { fromBase64, fromHex, utf8 } from './bytes.js';
import { Refused, check } from './errors.js';

/** @typedef {import('./bytes.js').Bytes} Bytes */
/** @typedef {null|boolean|number|Real|string|Value[]|Map<string, Value>} Value */
/** @typedef {null|boolean|number|string|Plain[]|{[name: string]: Plain}} Plain */

const MAX_DEPTH = 8;
// A byte order mark is kept, and is then no JSON.
const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const ESCAPES = new Map(
  Object.entries({ b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\', '/': '/' }),
);
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const UNICODE = /u([0-9A-Fa-f]{4})/y;
const SUSPECT = /[\ud800-\uffff]/; // the next is slow, and most texts have none of these
const NO_CHARACTER = /[\p{Surrogate}\p{Noncharacter_Code_Point}]/u;
const SPACE = [32, 10, 13, 9];

/** A number written with a fraction or an exponent. */
export class Real {
  /** @param {number} value */
  constructor(value) {
    this.value = value;
  }
}

/**
 * Reads one I-JSON text. Throws `Refused('malformed')`.
 * @param {Bytes} bytes @param {number} maxDepth containers within each other @returns {Value}
 */
export function parse(bytes, maxDepth = MAX_DEPTH) {
  return new Parser(decoded(bytes), maxDepth).whole();
}

/** @param {Bytes} bytes */
function decoded(bytes) {
  try {
    return UTF_8.decode(bytes);
  } catch {
    throw new Refused('malformed', 'not UTF-8');
  }
}

class Parser {
  /** @param {string} text @param {number} maxDepth */
  constructor(text, maxDepth) {
    this.text = text;
    this.maxDepth = maxDepth;
    this.at = 0;
  }

  /** @param {string} what @returns {never} */
  fail(what) {
    throw new Refused('malformed', `no I-JSON at character ${this.at}: ${what}`);
  }

  whole() {
    const value = this.value(1);
    this.space();
    if (this.at < this.text.length) this.fail('more after the end');
    return value;
  }

  space() {
    while (SPACE.includes(this.text.charCodeAt(this.at))) this.at++;
  }

  /** Goes past `character`, if it is next but for space. @param {string} character */
  take(character) {
    this.space();
    const there = this.text[this.at] === character;
    if (there) this.at++;
    return there;
  }

  /** @param {string} character */
  expect(character) {
    if (!this.take(character)) this.fail(`${character} expected`);
  }

  /** @param {number} depth of a container that begins here @returns {Value} */
  value(depth) {
    this.space();
    switch (this.text[this.at]) {
      case '"': return this.string();
      case '{': return this.object(depth);
      case '[': return this.array(depth);
      case 't': return this.word('true', true);
      case 'f': return this.word('false', false);
      case 'n': return this.word('null', null);
      default: return this.number();
    }
  }

  /** @template T @param {string} word @param {T} value */
  word(word, value) {
    if (!this.text.startsWith(word, this.at)) this.fail('no value');
    this.at += word.length;
    return value;
  }

  /** @param {number} depth */
  object(depth) {
    if (depth > this.maxDepth) this.fail('too deep');
    /** @type {Map<string, Value>} */
    const members = new Map();
    this.at++;
    if (this.take('}')) return members;
    do {
      this.space();
      if (this.text[this.at] !== '"') this.fail('a name expected');
      const name = this.string();
      if (members.has(name)) this.fail('a name twice');
      this.expect(':');
      members.set(name, this.value(depth + 1));
    } while (this.take(','));
    this.expect('}');
    return members;
  }

  /** @param {number} depth */
  array(depth) {
    if (depth > this.maxDepth) this.fail('too deep');
    /** @type {Value[]} */
    const items = [];
    this.at++;
    if (this.take(']')) return items;
    do items.push(this.value(depth + 1));
    while (this.take(','));
    this.expect(']');
    return items;
  }

  string() {
    const pieces = [];
    for (let from = ++this.at; ; this.at++) {
      const code = this.text.charCodeAt(this.at);
      if (code >= 32 && code !== 34 && code !== 92) continue;
      pieces.push(this.text.slice(from, this.at));
      if (code === 34) break;
      if (code !== 92) this.fail('a string that does not end');
      pieces.push(this.escape());
      from = this.at + 1;
    }
    this.at++;
    const text = pieces.join('');
    if (SUSPECT.test(text) && NO_CHARACTER.test(text)) this.fail('a lone surrogate or no character');
    return text;
  }

  /** From the backslash to the last character of the escape. */
  escape() {
    const unicode = this.match(UNICODE, this.at + 1);
    const character = unicode ? String.fromCharCode(parseInt(unicode[1], 16)) : ESCAPES.get(this.text[this.at + 1]);
    if (character === undefined) this.fail('no escape');
    this.at += unicode ? 5 : 1;
    return character;
  }

  number() {
    const match = this.match(NUMBER, this.at);
    if (!match) this.fail('no value');
    const value = Number(match[0]);
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER) this.fail('a number of 2^53 or more');
    this.at += match[0].length;
    return match[1] || match[2] ? new Real(value) : value + 0; // -0 is 0
  }

  /** @param {RegExp} pattern sticky @param {number} at */
  match(pattern, at) {
    pattern.lastIndex = at;
    return pattern.exec(this.text);
  }
}

/** Plain values, as `JSON.stringify` takes them. @param {Value} value @returns {Plain} */
export function toJson(value) {
  if (value instanceof Real) return value.value;
  if (Array.isArray(value)) return value.map(toJson);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([name, member]) => [name, toJson(member)]));
}

/**
 * The values of an object's members, in the order of `names`: all of them and no others.
 * @param {Value|undefined} value @param {string[]} names @param {string} what
 */
export function members(value, names, what) {
  check(value instanceof Map, 'malformed', `${what}: no object`);
  const complete = value.size === names.length && names.every((name) => value.has(name));
  check(complete, 'malformed', `${what}: other members than ${names.join(', ')}`);
  return names.map((name) => /** @type {Value} */ (value.get(name)));
}

/**
 * An array of `least` items or more; of more than `most` it is refused as `beyond`.
 * @param {Value|undefined} value @param {string} what
 * @param {{least?: number, most: number, beyond?: 'too-large'|'malformed'}} limits
 */
export function list(value, what, { least = 0, most, beyond = 'too-large' }) {
  check(Array.isArray(value), 'malformed', `${what}: no list`);
  check(value.length >= least, 'malformed', `${what}: too few`);
  check(value.length <= most, beyond, `${what}: more than ${most}`);
  return value;
}

/**
 * A text that is not empty, of at most `most` bytes of UTF-8.
 * @param {Value|undefined} value @param {string} what @param {number} most
 */
export function text(value, what, most = Infinity) {
  check(typeof value === 'string' && value !== '', 'malformed', `${what}: no text`);
  check(most === Infinity || utf8(value).length <= most, 'too-large', `${what}: more than ${most} bytes`);
  return value;
}

/**
 * An integer from 0 to `max`, written without fraction or exponent.
 * @param {Value|undefined} value @param {string} what @param {number} max
 */
export function natural(value, what, max = Number.MAX_SAFE_INTEGER) {
  const there = typeof value === 'number' && value >= 0 && value <= max;
  check(there, 'malformed', `${what}: no integer from 0 to ${max}`);
  return value;
}

/**
 * Bytes in base64, of at most `most`.
 * @param {Value|undefined} value @param {string} what @param {number} most
 */
export function blob(value, what, most = Infinity) {
  check(typeof value === 'string', 'malformed', `${what}: no base64`);
  const bytes = fromBase64(value);
  check(bytes.length <= most, 'too-large', `${what}: more than ${most} bytes`);
  return bytes;
}

/**
 * Exactly `length` bytes in base64.
 * @param {Value|undefined} value @param {string} what @param {number} length
 */
export function fixed(value, what, length = 32) {
  return sized(blob(value, what), what, length);
}

/**
 * Exactly `length` bytes in hex: `0x` and lower-case digits.
 * @param {Value|undefined} value @param {string} what @param {number} length
 */
export function fixedHex(value, what, length) {
  check(typeof value === 'string', 'malformed', `${what}: no hex`);
  return sized(fromHex(value), what, length);
}

/** @param {Bytes} bytes @param {string} what @param {number} length */
function sized(bytes, what, length) {
  check(bytes.length === length, 'malformed', `${what}: not ${length} bytes`);
  return bytes;
}
