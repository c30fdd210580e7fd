// SPDX-License-Identifier: GPL-3.0-or-later
// Our own verifier in JavaScript, asked what programs of others have made. `node ours.mjs FOLDER MODE` reads JSON
// lines from standard input and answers each with a line:
//   signature   {key, signature, message}, base64: what it says with the platform's Ed25519, and without it
//   slot        {nodes, root, slot}, hex: what the slot holds, or {refused}
//   header      {rlp}, hex: hash, number, stateRoot and extraData
//   code        {text}: the path of a code, or {refused}
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [folder, mode] = process.argv.slice(2)
const module = (name) => import(pathToFileURL(`${folder}/${name}.js`))
const hex = (bytes) => `0x${Buffer.from(bytes).toString('hex')}`
const bytes = (text) => new Uint8Array(Buffer.from(text.slice(2), 'hex'))

async function signature ({ key, signature, message }) {
  const { verifySignature, byPoints, keyIsUsable } = await module('ed25519')
  const [a, m, s] = [key, message, signature].map((text) => new Uint8Array(Buffer.from(text, 'base64')))
  const usable = keyIsUsable(a) && keyIsUsable(s.subarray(0, 32))
  return [await verifySignature(a, m, s), usable && byPoints(a, m, s)]
}

async function slot ({ nodes, root, slot }) {
  const { TrieNodes } = await module('trie')
  const pool = new TrieNodes(nodes.map(bytes))
  const value = pool.storage(bytes(root), bytes(slot))
  pool.checkAllUsed()
  return hex(value)
}

async function header ({ rlp }) {
  const { parseHeader } = await module('evm')
  const { hash, number, stateRoot, extraData } = parseHeader(bytes(rlp))
  return { hash: hex(hash), number: Number(number), stateRoot: hex(stateRoot), extraData: hex(extraData) }
}

async function code ({ text }) {
  const { codePath } = await module('codes')
  return codePath(text)
}

const modes = { signature, slot, header, code }
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const answer = await modes[mode](JSON.parse(line)).catch((error) => ({ refused: error.message }))
  console.log(JSON.stringify(answer))
}
