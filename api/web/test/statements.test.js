// SPDX-License-Identifier: GPL-3.0-or-later
// Whose word a record is: owners and parties link and name others, strangers, practice and superseded records do not.

import assert from 'node:assert/strict';
import test from 'node:test';

import { base64url, utf8 } from '../src/verifier/bytes.js';
import { codeHash, parseCode } from '../src/verifier/codes.js';
import { parse } from '../src/verifier/ijson.js';
import { classify, prefixesOf } from '../src/verifier/statements.js';
import { timed } from './support.js';

const GTIN = '/01/09521234000013';
const LOT = `${GTIN}/10/CRAB-7`;
const SERIAL = `${LOT}/21/A1`;
const SIBLING = `${GTIN}/10/CRAB-8`;
const POND = '/01/09521234000020/10/POND-3';
const FEED = '/01/09529999000026/10/FEED-9';
const TRANSFORMATION = 'epcis.transformationevent';

/** @typedef {import('../src/verifier/statements.js').Spoken} Spoken */
/** @typedef {Partial<Omit<Spoken, 'codes'|'fields'|'prefixes'>> & {prefixes?: string[], fields?: object}} More */

/** @param {object} value @returns {Map<string, import('../src/verifier/ijson.js').Value>} */
const mapOf = (value) => /** @type {any} */ (parse(utf8(JSON.stringify(value)), 16));
const link = (/** @type {string} */ path) => `https://id.gs1.org${path}`;

/** @param {string[]} codes @param {More} more @returns {Spoken} */
function spoken(codes, { fields = {}, prefixes = ['/01/0952123'], ...more } = {}) {
  const base = { type: 'epcis.objectevent', live: true, superseded: false, issuer: 'farm' };
  return { ...base, ...more, codes: codes.map((code) => base64url(codeHash(code))), fields: mapOf(fields), prefixes: new Set(prefixes) };
}

/** @param {string[]} inputs @param {string[]} outputs @param {More} more */
const transformation = (inputs, outputs, more = {}) =>
  spoken([...inputs, ...outputs], {
    type: TRANSFORMATION,
    ...more,
    fields: { inputEPCList: inputs.map(link), outputQuantityList: outputs.map((one) => ({ epcClass: link(one) })), ...more.fields },
  });

/** @param {unknown} to @param {More} more */
const shipping = (to, more = {}) => spoken([LOT], { ...more, fields: { bizStep: 'shipping', 'moneo:parties': to, ...more.fields } });

/** @param {Spoken[]} records @param {string} expected */
const classes = (records, expected = LOT) => classify(parseCode(expected), records).map((one) => one && `${one.level} ${one.statement}`);

const SHOP = { issuer: 'shop', prefixes: [] };
const MILL = { issuer: 'mill', prefixes: ['/01/0952999'] };
const STRANGER = { prefixes: [] };

test('a record matches at the narrowest level that its lines name', () => {
  /** @type {[string, string, string][]} */
  const rows = [[SERIAL, SERIAL, 'serial'], [SERIAL, LOT, 'lot'], [SERIAL, GTIN, 'gtin'], [LOT, GTIN, 'gtin'], [`${GTIN}/21/A1`, `${GTIN}/21/A1`, 'serial'], ['/c/a/b', '/c/a/b', 'own']];
  for (const [expected, said, level] of rows) assert.deepEqual(classes([spoken([said], { prefixes: ['/01/0952', '/c/a'] })], expected), [`${level} owner`]);
  assert.deepEqual(classes([spoken([GTIN, LOT, POND])], SERIAL), ['lot owner']);
  for (const said of [SERIAL, SIBLING, POND]) assert.deepEqual(classes([spoken([said]), spoken([])]), [null, null]);
});

test('an owner is who has a prefix of the code', () => {
  for (const prefixes of [[], ['/01/0952999'], [`${LOT}7`]]) assert.deepEqual(classes([spoken([LOT], { prefixes })]), ['lot third-party']);
  assert.deepEqual(prefixesOf(mapOf({ prefixes: ['', '/', '/01', '/01/', '/c/a', 'x', 1, null, ['/01/']] })), new Set(['/01/', '/c/a']));
  for (const prefixes of ['/01/', { '/01/': 1 }, null]) assert.equal(prefixesOf(mapOf({ prefixes })).size, 0);
  assert.equal(prefixesOf(mapOf({})).size, 0);
});

test("a party is whom the owner's shipping record names", () => {
  for (const bizStep of ['shipping', 'urn:epcglobal:cbv:bizstep:shipping', 'https://ref.gs1.org/cbv/BizStep-shipping']) {
    assert.deepEqual(classes([spoken([LOT], SHOP), shipping(['shop'], { fields: { bizStep } })]), ['lot party', 'lot owner']);
  }
  const nothing = [
    shipping(['shop'], STRANGER), shipping(['shop'], { fields: { bizStep: 'packing' } }), shipping(['shop'], { fields: { bizStep: ['shipping'] } }),
    shipping(['shop'], { type: 'epcis.transactionevent' }), shipping(['other']), shipping(null), shipping('shop'), shipping([...Array(256).fill('x'), 'shop']),
    shipping(['shop'], { live: false }), shipping(['shop'], { superseded: true }), { ...shipping(['shop']), codes: spoken([GTIN]).codes },
  ];
  for (const sent of nothing) assert.equal(classes([spoken([LOT], SHOP), sent])[0], 'lot third-party');
  assert.equal(classes([spoken([LOT], { ...SHOP, live: false }), shipping(['shop'], { live: false })])[0], 'lot party');
  assert.equal(classes([spoken([LOT], SHOP), shipping([...Array(255).fill('x'), 'shop'])])[0], 'lot party');
});

test('what went in is linked, and whose it is known by the shown inputs', () => {
  const made = transformation([POND, FEED], [LOT]);
  assert.deepEqual(classes([spoken([POND]), spoken([FEED], MILL), spoken([POND], MILL), made]), ['linked owner', 'linked owner', 'linked third-party', 'lot owner']);
  assert.deepEqual(classes([transformation([POND], [LOT, SIBLING]), spoken([SIBLING])]), ['lot owner', null]);
  for (const more of [STRANGER, { superseded: true }, { live: false }, { type: 'epcis.objectevent' }]) {
    assert.equal(classes([spoken([POND]), transformation([POND], [LOT], more)])[0], null);
  }
  for (const inputEPCList of [undefined, 'x', [1, null, { epcClass: 3 }, 'urn:epc:id:sgtin:1'], {}, [[]], [`(01)${GTIN.slice(4)}`], [...Array(256).fill('x'), link(POND)]]) {
    assert.equal(classes([spoken([POND]), transformation([POND], [LOT], { fields: { inputEPCList } })])[0], 'linked third-party');
  }
  assert.equal(classes([spoken([FEED]), transformation([POND], [LOT], { fields: { inputEPCList: [link(FEED)] } })])[0], null);
});

test('a shown serial shows its lot and GTIN too', () => {
  const lot = '/01/09529999000026/10/FEED-9';
  const made = transformation([lot], [LOT], { fields: { inputEPCList: [{ epcClass: `${lot}/21/7` }] } });
  assert.equal(classes([spoken([lot], MILL), made])[0], 'linked owner');
});

test('a practice transformation shows a live record nothing', () => {
  const hidden = transformation([FEED], [LOT], { fields: { inputEPCList: null } });
  const practice = transformation([FEED], [LOT], { live: false });
  assert.equal(classes([spoken([FEED], MILL), hidden, practice])[0], 'linked third-party');
  assert.equal(classes([spoken([FEED], { ...MILL, live: false }), hidden, practice])[0], 'linked owner');
});

test('a party may link too, and its own record by it', () => {
  const repacked = transformation([POND], [LOT], { issuer: 'plant', prefixes: [] });
  assert.equal(classes([spoken([POND]), repacked, shipping(['plant'])])[0], 'linked owner');
  const own = transformation([FEED], [LOT], MILL);
  assert.deepEqual(classes([own, shipping(['mill'])]), ['lot owner', 'lot owner']);
});

test('links go on, in any order, and a thousand take no time to speak of', () => {
  const names = Array.from({ length: 1000 }, (_, i) => `/01/09521234000020/10/L${i}`);
  const steps = names.map((name, i) => transformation([name], [names[i + 1] ?? LOT]));
  for (const records of [steps, steps.toReversed()]) {
    const [found, milliseconds] = timed(() => classes(records));
    assert.deepEqual(new Set(found), new Set(['linked owner', 'lot owner']));
    assert.ok(milliseconds < 2000);
  }
});
