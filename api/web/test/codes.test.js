// SPDX-License-Identifier: GPL-3.0-or-later
// A trace code has one spelling, whatever label, link or person it came from.

import assert from 'node:assert/strict';
import test from 'node:test';

import { hex, utf8 } from '../src/verifier/bytes.js';
import { codeHash, codePath, parseCode, parseName } from '../src/verifier/codes.js';
import { CodeError } from '../src/verifier/errors.js';
import { sha256 } from '../src/verifier/tree.js';
import { timed, vectorJson } from './support.js';

const GTIN = '/01/09521234543213';

/** Null where a text is no code. @param {(text: string) => {path: string}} read @param {string} text */
function pathOr(read, text) {
  try {
    return read(text).path;
  } catch (error) {
    assert.ok(error instanceof CodeError, text);
    return null;
  }
}

test('each text is the code that the vectors say, or none', () => {
  const rows = vectorJson('codes.json');
  assert.ok(rows.some((/** @type {{path: unknown}} */ { path }) => path === null));
  for (const { text, path } of rows) {
    assert.equal(pathOr(parseCode, text), path, text);
    if (path !== null) assert.equal(codePath(path), path);
  }
});

test('records name codes by path or Digital Link only', () => {
  assert.equal(pathOr(parseName, `https://h${GTIN}`), GTIN);
  assert.equal(pathOr(parseName, GTIN), GTIN);
  assert.equal(pathOr(parseName, `(01)${GTIN.slice(4)}`), null);
  assert.equal(pathOr(parseCode, `(01)${GTIN.slice(4)}`), GTIN);
});

test('levels go from the narrowest to the widest', () => {
  const named = (/** @type {string} */ text) => parseCode(text).levels.map(({ level, path }) => [level, path]);
  const lot = `${GTIN}/10/L`;
  assert.deepEqual(named(`${lot}/21/S`), [['serial', `${lot}/21/S`], ['lot', lot], ['gtin', GTIN]]);
  assert.deepEqual(named(`${GTIN}/21/S`), [['serial', `${GTIN}/21/S`], ['gtin', GTIN]]);
  assert.deepEqual(named('/c/camau/ao-12'), [['own', '/c/camau/ao-12']]);
});

test('K is over the title and the path', () => {
  assert.equal(hex(codeHash(GTIN)), hex(sha256(utf8(`moneo/code/v1\n${GTIN}`))));
});

test('2,048 characters are counted as code points, and far more take no time', () => {
  const link = (/** @type {string} */ filling) => `https://h${GTIN}?${filling}`;
  const room = 2048 - link('').length;
  assert.equal(pathOr(parseCode, link('😀'.repeat(room))), GTIN);
  assert.equal(pathOr(parseCode, link('😀'.repeat(room + 1))), null);
  for (const filling of ['(01)', '/01/', '\u001d', '%41', '(', '0']) {
    assert.equal(pathOr(parseCode, filling.repeat(400)), null);
    const [, milliseconds] = timed(() => pathOr(parseCode, filling.repeat(1_000_000)));
    assert.ok(milliseconds < 100, filling);
  }
});
