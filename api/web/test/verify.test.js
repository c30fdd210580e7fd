// SPDX-License-Identifier: GPL-3.0-or-later
// A verdict says exactly what is proven, and there is one whatever the bytes; the driver says the same.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

import { utf8 } from '../src/verifier/bytes.js';
import * as verifier from '../src/verifier/index.js';
import { CodeError, TrustError, verify } from '../src/verifier/index.js';
import { vector, vectorJson } from './support.js';

const DAY = 86_400;
const CODE = '/01/09521234000013/10/CRAB-7';
const WHEN = 1_790_000_601;

/** @type {{name: string, trust: string}[]} */
const INDEX = vectorJson('evidence/index.json');

/** Evidence and trust of a vector. @param {string} name @returns {[Uint8Array, Uint8Array]} */
function files(name) {
  const row = INDEX.find((one) => one.name === name);
  assert.ok(row, name);
  return [vector(`evidence/${name}.json`), vector(`evidence/${row.trust}`)];
}

const ONE = files('four-validators');

test('what others may import', () => {
  assert.deepEqual(Object.keys(verifier).sort(), ['CodeError', 'TrustError', 'codePath', 'fingerprint', 'openTrust', 'replaces', 'verify']);
});

test('a verdict is one value, to the last member', async () => {
  const verdict = await verify(...ONE, { code: `https://x.example/y${CODE}?a=b`, now: WHEN + 3 * DAY });
  const details = verdict.steps.map(({ detail }) => detail);
  assert.ok(details.every((detail) => detail !== ''));
  const keys = ['read', 'record', 'signature', 'log', 'state', 'header', 'finality', 'code', 'age'];
  assert.deepEqual(verdict, {
    proven: true,
    assurance: 'consortium',
    steps: keys.map((key, number) => ({ number, key, state: 'ok', detail: details[number] })),
    records: [{
      id: 'kg3LtbhjAGzZ6kNkdJnThUJ2bCaTnTGi2eshaw99jkk.1',
      leaf: '23cae31dc3cbcc04cdd27e79943fffaa2c262e223be2daf790a8dabd9d5e108f',
      type: 'epcis.objectevent',
      mode: 'live',
      fields: {
        bizStep: 'commissioning', eventTime: '2026-09-21T20:00:00+07:00', eventTimeZoneOffset: '+07:00', note: 'Cua gạch, thu hoạch mẫu',
        quantityList: [{ epcClass: `https://id.gs1.org${CODE}`, quantity: 120 }],
      },
      hidden: ['phone'],
      issuer: 'moneo.example/camau/2026/c6c7de6a4ecabc7c',
      issuer_name: 'Hợp tác xã Mẫu',
      custody: 'holder',
      province: 'Tỉnh Mẫu (sample)',
      log: 'moneo.example/camau/2026',
      claimed: 1_790_000_540,
      event_time: 1_789_995_600,
      when: WHEN,
      assurance: 'consortium',
      validators: 4,
      statement: 'owner',
      level: 'lot',
      superseded_by: [],
    }],
    fingerprint: verifier.fingerprint(ONE[1]),
    failure: null,
    notes: [{ key: 'evidence-age', record: null, days: 3 }, { key: 'trust-age', record: null, days: 3 }],
    expect_code: CODE,
    not_proven: ['original', 'true', 'complete'],
  });
  assert.deepEqual(JSON.parse(JSON.stringify(verdict)), verdict);
});

test('nobody asked for a code or an age: both steps are skipped', async () => {
  const { steps, records, notes, expect_code } = await verify(...ONE);
  assert.deepEqual(steps.map(({ state }) => state), [...Array(7).fill('ok'), 'skipped', 'skipped']);
  assert.deepEqual([records[0].statement, records[0].level, expect_code, notes], [null, null, null, []]);
});

test('ages are counted from now, and a clock behind is told from ten minutes on', async () => {
  const noted = async (/** @type {number} */ now) => (await verify(...ONE, { now })).notes.map(({ key, days }) => [key, days]);
  /** @type {[number, number, number][]} */
  const rows = [[DAY - 1, 0, 1], [DAY, 1, 1], [40 * DAY + 5, 40, 40], [-600, 0, 0]];
  for (const [after, evidence, trust] of rows) assert.deepEqual((await noted(WHEN + after)).map(([, days]) => days), [evidence, trust]);
  assert.deepEqual(await noted(WHEN - 601), [['evidence-age', 0], ['trust-age', 0], ['clock-behind', null]]);
  assert.deepEqual((await noted(0)).length, 3);
});

test('who asks wrongly is told: a trust file that is refused first, then a code that is none', async () => {
  await assert.rejects(verify(new Uint8Array(), utf8('{}'), { code: 'x' }), TrustError);
  await assert.rejects(verify(new Uint8Array(), ONE[1], { code: '/01/123' }), CodeError);
  assert.equal((await verify(new Uint8Array(), ONE[1], { code: CODE })).failure?.kind, 'malformed');
});

test('any bytes get a verdict', async () => {
  const [evidence, trust] = ONE;
  for (let at = 0; at < evidence.length; at += 61) {
    for (const changed of [evidence.slice(0, at), evidence.with(at, evidence[at] ^ 1), evidence.with(at, 0xff)]) {
      assert.equal((await verify(changed, trust, { code: CODE })).proven, false, `${at}`);
    }
  }
});

/** Evidence of about a mebibyte that somebody who knows the format would make, to keep a verifier busy. @type {[string, (value: any) => void][]} */
const BUSY = [
  ['records', (value) => (value.records = Array.from({ length: 1000 }, (_, index) => ({ ...value.records[0], index })))],
  ['trie nodes', ({ anchors: [one] }) => (one.nodes = Array.from({ length: 1000 }, (_, i) => Buffer.alloc(760, String(i)).toString('base64')))],
  ['validators', (value) => (value.eras = Array.from({ length: 31 }, (_, i) => crowd(value.light_blocks[0], i)))],
  ['signatures', ({ batches: [one] }) => (one.proof += '— a.b AAAAAAAA\n'.repeat(1700))],
  ['a name', ({ batches: [one] }) => (one.note = '~'.repeat(1_000_000))],
];

/** @param {any} block @param {number} i */
function crowd(block, i) {
  const validators = Array.from({ length: 512 }, (_, j) => [Buffer.alloc(32, `${i} ${j} `).toString('base64'), 1]);
  return { ...block, header: { ...block.header, height: String(100 + i) }, votes: [], validators };
}

/** The least milliseconds of processor time in three tries. What grows faster than its input takes seconds; others may be at work too. @param {() => Promise<unknown>} act */
async function cost(act) {
  const costs = [];
  for (let i = 0; i < 3; i++) {
    const before = process.cpuUsage();
    await act();
    const { user, system } = process.cpuUsage(before);
    costs.push((user + system) / 1000);
  }
  return Math.min(...costs);
}

test('a mebibyte is refused in no time, whatever it is made of', async (t) => {
  const [evidence, trust] = ONE;
  const text = Buffer.from(evidence).toString();
  const fillings = ['[', '{"":', '"', '9', ' ', '~', 'A', ',', '[],', '"\\', '\\u0041', 'é'].flatMap((token) => {
    const filling = token.repeat(Math.floor((1_000_000 - text.length) / Buffer.byteLength(token)));
    return [filling, text.slice(0, 2000) + filling + text.slice(2000)].map((made) => /** @type {const} */ ([token, made]));
  });
  const busy = BUSY.map(([name, change]) => {
    const value = JSON.parse(text);
    change(value);
    return /** @type {const} */ ([name, JSON.stringify(value)]);
  });
  for (const [name, made] of [...fillings, ...busy]) {
    const milliseconds = await cost(async () => assert.equal((await verify(utf8(made), trust)).proven, false));
    t.diagnostic(`${name}: ${milliseconds.toFixed(0)} ms`);
    assert.ok(milliseconds < 500, `${name}: ${milliseconds} ms`);
  }
});

test('the driver answers each line in its turn, and nothing crashes it', async () => {
  const [evidence, trust] = ONE.map((bytes) => Buffer.from(bytes).toString('base64'));
  const lines = [{ evidence, trust, code: CODE, now: WHEN }, { evidence: '', trust, code: null, now: null }, { evidence, trust: '', code: null, now: null }, { evidence, trust, code: 'x', now: null }];
  const root = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
  const child = spawn(process.execPath, [root('../../../tests/js/judge.mjs'), root('../src/verifier')], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const answers = (await child.stdout.setEncoding('utf8').toArray()).join('').trimEnd().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(answers.map(({ verdict, error }) => error ?? verdict.proven), [true, false, 'TrustError', 'CodeError']);
  assert.deepEqual(answers[0].verdict, await verify(...ONE, { code: CODE, now: WHEN }));
});
