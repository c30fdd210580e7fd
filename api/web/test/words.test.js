// SPDX-License-Identifier: GPL-3.0-or-later
// What pages say exists in both languages: the same keys, the same places to fill, nothing empty, nothing left over.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { PRODUCT } from '../src/words/product.js';

const WORDS = new URL('../src/words/', import.meta.url);

/** @param {string} sentence */
const places = (sentence) => [...sentence.matchAll(/\{([a-z]+)\}/g)].map(([, name]) => name).sort();

for (const file of readdirSync(WORDS)) {
  test(`${file} says the same in both languages`, async () => {
    const tables = Object.values(await import(new URL(file, WORDS).href)).filter((it) => it?.vi && it?.en);
    for (const { vi, en } of tables) {
      assert.deepEqual(Object.keys(vi), Object.keys(en));
      for (const key of Object.keys(vi)) {
        assert.ok(vi[key].trim() && en[key].trim(), key);
        assert.deepEqual(places(vi[key]), places(en[key]), key);
      }
    }
  });
}

test("a product's page says nothing that no state of it asks for", () => {
  const source = ['page.js', 'check.js'].map((it) => readFileSync(new URL(`../product/${it}`, WORDS), 'utf8')).join('');
  const asked = new Set([...source.matchAll(/'([a-z-]+)'/g), ...source.matchAll(/words\.([a-z]+)/g)].map(([, key]) => key));
  // Keys of marks and of what could not be had are put together.
  const said = Object.keys(PRODUCT.vi).filter((key) => !asked.has(key.replace(/^step-/, '')));
  assert.deepEqual(said, ['offline']);
});
