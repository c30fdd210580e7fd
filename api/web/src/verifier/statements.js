// SPDX-License-Identifier: GPL-3.0-or-later
// Whose word a record is, of a code that was asked for (docs/evidence.md, “Whose word it is”).

import { base64url } from './bytes.js';
import { codeHash, parseName } from './codes.js';
import { CodeError } from './errors.js';

/** @typedef {import('./codes.js').Code} Code */
/** @typedef {import('./ijson.js').Value} Value */
/** @typedef {{level: import('./codes.js').Level|'linked', statement: 'owner'|'party'|'third-party'}} Class */
/**
 * @typedef {object} Spoken what is looked at of a record
 * @property {string} type
 * @property {boolean} live
 * @property {boolean} superseded
 * @property {string[]} codes as in its lines
 * @property {Map<string, Value>} fields those shown
 * @property {string} issuer who signed it
 * @property {Set<string>} prefixes of the issuer's registration
 */
/** @typedef {Spoken & {level: Class['level']|null, owns: boolean, named: boolean, given: boolean}} Part a record on its way to a class */
/**
 * @typedef {object} Gift what one record gives to others
 * @property {string[]} links codes that lead on to who has a line of them
 * @property {Map<string, string>} paths of codes
 * @property {string[]} codes of whose records it makes these parties
 * @property {string[]} parties names of issuers
 */

const TRANSFORMATION = 'epcis.transformationevent';
const OBJECT = 'epcis.objectevent';
const SHIPPING = new Set(['shipping', 'urn:epcglobal:cbv:bizstep:shipping', 'https://ref.gs1.org/cbv/BizStep-shipping']);
const INPUTS = ['inputEPCList', 'inputQuantityList'];
const OUTPUTS = ['outputEPCList', 'outputQuantityList'];
const PARTIES = 'moneo:parties';
const MAX_ITEMS = 256;
const OWNED = ['/01/', '/c/'];

/** The prefixes that a registration shows. @param {Map<string, Value>} fields */
export function prefixesOf(fields) {
  const value = fields.get('prefixes');
  const texts = Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
  return new Set(texts.filter((text) => OWNED.some((start) => text.startsWith(start))));
}

/**
 * Level and statement of each record; null for one of another code.
 * @param {Code} expected @param {Spoken[]} records @returns {(Class|null)[]}
 */
export function classify(expected, records) {
  const matter = new Matter(expected, records);
  matter.settle();
  return matter.parts.map(({ level, ...part }) => level && { level, statement: statementOf(part) });
}

/** @param {Pick<Part, 'owns'|'named'>} part @returns {Class['statement']} */
function statementOf({ owns, named }) {
  if (owns) return 'owner';
  return named ? 'party' : 'third-party';
}

/** What records of a code give to others: links, paths of codes, names of parties. It only grows, so the order is none. */
class Matter {
  /** @param {Code} expected @param {Spoken[]} records */
  constructor(expected, records) {
    this.levels = expected.levels.map(({ level, path }) => ({ level, path, hash: hashOf(path) }));
    this.parts = records.map((record) => this.matched(record));
    this.waiting = [...this.parts];
    // To live records only live ones give; to practice ones all do.
    this.live = new Given(this.parts.filter(({ live }) => live));
    this.practice = new Given(this.parts.filter(({ live }) => !live));
  }

  /** @param {Spoken} record @returns {Part} */
  matched(record) {
    const codes = new Set(record.codes);
    const levels = this.levels.filter(({ hash }) => codes.has(hash));
    return {
      ...record,
      level: levels[0]?.level ?? null,
      owns: levels.some(({ path }) => begins(record.prefixes, path)),
      named: false,
      given: false,
    };
  }

  settle() {
    for (let part = this.waiting.pop(); part; part = this.waiting.pop()) {
      const gift = part.given || part.superseded || !part.level ? null : giftOf(part);
      if (!gift) continue;
      part.given = true;
      for (const given of part.live ? [this.live, this.practice] : [this.practice]) this.waiting.push(...given.take(gift));
    }
  }
}

/** What live records have been given, or those of practice. */
class Given {
  /** @param {Part[]} parts */
  constructor(parts) {
    /** @type {Map<string, Part[]>} */
    this.byCode = new Map();
    /** @type {Map<string, Set<string>>} */
    this.parties = new Map();
    /** @type {Set<string>} */
    this.links = new Set();
    /** @type {Map<string, string>} */
    this.paths = new Map();
    this.issuers = new Set(parts.map(({ issuer }) => issuer));
    for (const part of parts) for (const code of part.codes) this.listed(code).push(part);
  }

  /** @param {string} code @returns {Part[]} those that have a line of it */
  listed(code) {
    const parts = this.byCode.get(code) ?? [];
    this.byCode.set(code, parts);
    return parts;
  }

  /** Returns those whom it changes. @param {Gift} gift */
  take({ links, paths, codes, parties }) {
    /** @type {Part[]} */
    const changed = [];
    const fresh = new Set([...links.filter((code) => !this.links.has(code)), ...[...paths.keys()].filter((code) => !this.paths.has(code))]);
    for (const code of links) this.links.add(code);
    for (const [code, path] of paths) this.paths.set(code, path);
    for (const code of fresh) if (this.links.has(code)) changed.push(...this.linked(code));
    const known = parties.filter((issuer) => this.issuers.has(issuer));
    for (const code of known.length ? codes : []) changed.push(...this.named(code, known));
    return changed;
  }

  /** @param {string} code */
  linked(code) {
    const path = this.paths.get(code);
    const parts = this.listed(code);
    for (const part of parts) {
      part.level ??= 'linked';
      part.owns ||= path !== undefined && begins(part.prefixes, path);
    }
    return parts;
  }

  /** @param {string} code @param {string[]} issuers */
  named(code, issuers) {
    const before = this.parties.get(code) ?? new Set();
    const fresh = new Set(issuers.filter((issuer) => !before.has(issuer)));
    this.parties.set(code, new Set([...before, ...fresh]));
    const parts = (fresh.size ? this.listed(code) : []).filter(({ issuer }) => fresh.has(issuer));
    for (const part of parts) part.named = true;
    return parts;
  }
}

/** What a record of the code gives, by now. @param {Part} part */
function giftOf(part) {
  if (part.type === TRANSFORMATION && (part.owns || part.named)) return transformed(part);
  return part.type === OBJECT && part.owns ? shipped(part) : null;
}

/** @param {Part} part @returns {Gift} */
function transformed(part) {
  const outputs = shownCodes(part, OUTPUTS);
  return { links: part.codes.filter((code) => !outputs.has(code)), paths: shownCodes(part, INPUTS), codes: [], parties: [] };
}

/** @param {Part} part @returns {Gift|null} */
function shipped({ fields, codes }) {
  const step = fields.get('bizStep');
  if (typeof step !== 'string' || !SHIPPING.has(step)) return null;
  return { links: [], paths: new Map(), codes, parties: [...new Set(names(fields.get(PARTIES)))] };
}

/**
 * Paths by hash of the codes that these fields show, at every level, of those that the record has lines of.
 * @param {Part} part @param {string[]} fields
 */
function shownCodes(part, fields) {
  const own = new Set(part.codes);
  const texts = new Set(fields.flatMap((field) => names(part.fields.get(field))));
  const paths = new Set([...texts].flatMap(pathsOf));
  return new Map([...paths].map((path) => /** @type {const} */ ([hashOf(path), path])).filter(([hash]) => own.has(hash)));
}

/** @param {Value|undefined} value of a field that is a list of names */
function names(value) {
  const items = Array.isArray(value) ? value.slice(0, MAX_ITEMS) : [];
  return items.map((item) => (item instanceof Map ? item.get('epcClass') : item)).filter((item) => typeof item === 'string');
}

/** @param {string} name of an input or output */
function pathsOf(name) {
  try {
    return parseName(name).levels.map(({ path }) => path);
  } catch (error) {
    if (error instanceof CodeError) return [];
    throw error;
  }
}

/** As a record's lines have it. @param {string} path */
const hashOf = (path) => base64url(codeHash(path));

/** Whether one of the prefixes begins a path, however many they are. @param {Set<string>} prefixes @param {string} path */
function begins(prefixes, path) {
  for (let length = 1; length <= path.length; length++) if (prefixes.has(path.slice(0, length))) return true;
  return false;
}
