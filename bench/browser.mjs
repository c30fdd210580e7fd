// SPDX-License-Identifier: GPL-3.0-or-later
// Writes the verifier of api/web as one minified module to standard output, for bench.browser to time in a browser:
// as the pages have it, and with the class whose methods are its steps, so that each can be timed from outside.
// Usage: node bench/browser.mjs api/web
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

const web = resolve(process.argv[2])
const esbuild = createRequire(`${web}/package.json`)('esbuild')
const withSteps = {
  name: 'with-steps',
  setup: (build) => build.onLoad({ filter: /verifier\/verify\.js$/ }, async ({ path }) => ({
    contents: `${await readFile(path, 'utf8')}\nexport { Verification };`,
  })),
}
const { outputFiles } = await esbuild.build({
  absWorkingDir: web,
  entryPoints: ['src/verifier/verify.js'],
  bundle: true,
  minify: true,
  format: 'esm',
  target: ['es2022'],
  write: false,
  plugins: [withSteps],
})
process.stdout.write(outputFiles[0].contents)
