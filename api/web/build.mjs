// SPDX-License-Identifier: GPL-3.0-or-later
// Builds what a browser loads into dist/: scripts minified and named after their content, the scanner's
// WebAssembly, the icons of the installed page, and the licences of the libraries that are inside.
// dist/manifest.json tells names → files (api/static.py serves them); whatever it does not name is removed.

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { constants, brotliCompressSync, gzipSync } from 'node:zlib';
import { initWasm, Resvg } from '@resvg/resvg-wasm';
import * as esbuild from 'esbuild';

const HERE = import.meta.dirname;
const DIST = join(HERE, 'dist');
const BANNER = '/* Moneo, GPL-3.0-or-later; the libraries inside: /static/LICENSES.txt */';
const PAGES = { product: 'src/product/main.js', scanner: 'src/scanner/main.js', verify: 'src/page/main.js' };
const WORKER = { worker: 'src/worker/main.js' };
/** @type {Map<string|undefined, string>} */
const NAMES = new Map(Object.entries({ ...PAGES, ...WORKER }).map(([name, path]) => [path, name]));
const ICONS = [192, 512];
/** What the libraries' own packages leave out: the licence of the C++ that became WebAssembly. */
const MORE_LICENSES = { 'zxing-wasm': 'licenses/zxing-cpp.txt' };
const COMPRESSED = /\.(js|wasm|txt)$/;

/** @type {esbuild.BuildOptions} */
const COMMON = {
  absWorkingDir: HERE,
  bundle: true,
  minify: true,
  target: ['es2022'],
  outdir: 'dist',
  write: false,
  metafile: true,
  charset: 'utf8',
  legalComments: 'none',
  banner: { js: BANNER },
  loader: { '.wasm': 'file' },
  publicPath: '/static/',
  entryNames: '[name].[hash]',
  chunkNames: 'shared.[hash]',
  assetNames: '[name].[hash]',
};

/**
 * The pages' scripts as modules that share what they have in common, and the service worker, whose name stays.
 * @returns {Promise<(esbuild.BuildResult & {outputFiles: esbuild.OutputFile[], metafile: esbuild.Metafile})[]>}
 */
function bundles() {
  return Promise.all([
    esbuild.build({ ...COMMON, entryPoints: PAGES, format: 'esm', splitting: true, write: false, metafile: true }),
    esbuild.build({ ...COMMON, entryPoints: WORKER, format: 'iife', entryNames: '[name]', write: false, metafile: true }),
  ]);
}

/**
 * Names → files, and which files a page's script needs before it can begin.
 * @param {esbuild.Metafile['outputs']} outputs
 */
function listed(outputs) {
  /** @type {Record<string, string>} */
  const files = {};
  /** @type {Record<string, string[]>} */
  const imports = {};
  for (const [path, output] of Object.entries(outputs)) {
    const [file, name] = [basename(path), NAMES.get(output.entryPoint)];
    if (name) [files[name], imports[name]] = [file, neededBy(path, outputs)];
    else if (!file.endsWith('.js')) files[file.replace(/\.[^.]+\./, '.')] = file;
  }
  return { files, imports };
}

/**
 * The chunks that a script imports as it begins, and theirs; what has a name of its own comes when it is asked for.
 * @param {string} path
 * @param {esbuild.Metafile['outputs']} outputs
 * @returns {string[]}
 */
function neededBy(path, outputs) {
  const own = outputs[path].imports.filter((it) => it.path.endsWith('.js') && it.path in outputs && !NAMES.has(outputs[it.path].entryPoint));
  return [...new Set(own.flatMap((it) => [basename(it.path), ...neededBy(it.path, outputs)]))];
}

/** The icon on a ground of its own, as large as an installed page's icon has to be. @returns {Promise<Map<string, Uint8Array>>} */
async function icons() {
  await initWasm(await readFile(new URL(import.meta.resolve('@resvg/resvg-wasm/index_bg.wasm'))));
  const mark = (await readFile(join(HERE, 'static/moneo.svg'), 'utf8')).replace(/^<svg[^>]*>|<\/svg>\s*$/g, '');
  // The mark keeps to the middle: what a system cuts off at the edges (a maskable icon) is ground.
  const drawn = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-9 -9 42 42"><rect x="-9" y="-9" width="42" height="42" fill="#faf6ee"/>${mark}</svg>`;
  const png = (/** @type {number} */ size) => new Resvg(drawn, { fitTo: { mode: 'width', value: size } }).render().asPng();
  return new Map(ICONS.map((size) => [`icon-${size}`, png(size)]));
}

/**
 * The licence texts of every package of which a part is in what we hand out.
 * @param {string[]} inputs
 */
async function licenses(inputs) {
  const packages = [...new Set(inputs.map((it) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(it)?.[1]))].filter((it) => it !== undefined).sort();
  const texts = packages.map(async (name) => {
    const folder = join(HERE, 'node_modules', name);
    const { version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    const file = (await readdir(folder)).find((it) => /^licen[cs]e/i.test(it));
    if (!file) throw new Error(`${name}: no licence text`);
    const more = Object.entries(MORE_LICENSES).filter(([of]) => of === name).map(([, path]) => join(HERE, path));
    const all = await Promise.all([join(folder, file), ...more].map((it) => readFile(it, 'utf8')));
    return `${name} ${version} (${license})\n\n${all.map((it) => it.trim()).join('\n\n')}\n`;
  });
  return (await Promise.all(texts)).join(`\n${'-'.repeat(72)}\n\n`);
}

/**
 * Writes the files, and beside each that gains by it what it is compressed.
 * @param {Map<string, Uint8Array>} files
 */
async function write(files) {
  await mkdir(DIST, { recursive: true });
  const all = [...files].flatMap(([name, data]) => (COMPRESSED.test(name) ? [[name, data], ...packed(name, data)] : [[name, data]]));
  const kept = new Set(all.map(([name]) => String(name)));
  for (const [name, data] of all) {
    // Whoever reads while we write finds the old file or the new one.
    await writeFile(join(DIST, `.${name}`), data);
    await rename(join(DIST, `.${name}`), join(DIST, String(name)));
  }
  for (const name of await readdir(DIST)) if (!kept.has(name)) await rm(join(DIST, name));
}

/**
 * @param {string} name
 * @param {Uint8Array} data
 * @returns {[string, Uint8Array][]}
 */
function packed(name, data) {
  return [
    [`${name}.gz`, gzipSync(data, { level: 9 })],
    [`${name}.br`, brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: data.length } })],
  ];
}

const built = await bundles();
const outputs = Object.assign({}, ...built.map((it) => it.metafile.outputs));
const manifest = listed(outputs);
/** @type {Map<string, Uint8Array>} */
const files = new Map(built.flatMap((it) => it.outputFiles).map((it) => [basename(it.path), it.contents]));
for (const [name, png] of await icons()) {
  manifest.files[name] = `${name}.${createHash('sha256').update(png).digest('hex').slice(0, 8)}.png`;
  files.set(manifest.files[name], png);
}
manifest.files.licenses = 'LICENSES.txt';
files.set('LICENSES.txt', Buffer.from(await licenses(built.flatMap((it) => Object.keys(it.metafile.inputs)))));
files.set('manifest.json', Buffer.from(`${JSON.stringify(manifest, null, 1)}\n`));
await write(files);
