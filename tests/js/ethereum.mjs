// SPDX-License-Identifier: GPL-3.0-or-later
// Ethereum's packages judge what Moneo makes, and make what Moneo has to accept. `node ethereum.mjs MODE` reads JSON
// lines from standard input and answers each with a line:
//   state       {evidence, trust}: the links that are refused, with the reason (@ethereumjs/block, @ethereumjs/mpt, viem);
//               with `made` headers that only look like a chain's are taken too
//   trie        {entries, asked}, hex: the root of @ethereumjs/mpt's trie over their hashes, and a proof of each that is asked
//   header      fields: the RLP and hash that @ethereumjs/block gives a header with them
//   ancestry    an anchor: leaf, index, size, root and path, in base64, by which the older header lies in the newer one's tree
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { createBlockHeader, createBlockHeaderFromRLP } from '@ethereumjs/block'
import { Common, Hardfork, Mainnet } from '@ethereumjs/common'
import { createMPT, createMerkleProof, verifyMerkleProof } from '@ethereumjs/mpt'
import { bytesToHex, concat, encodeAbiParameters, fromRlp, hexToBytes, keccak256, pad, parseAbiParameters } from 'viem/utils'

const common = new Common({ chain: Mainnet, hardfork: Hardfork.Cancun })
const HEAD = parseAbiParameters('address, bytes32, uint256, bytes32, bytes32, uint256')
const ISSUER = parseAbiParameters('uint256, uint256, uint256, bytes32')
const CUSTODY = { holder: 1n, operator: 2n }
const ZERO = pad('0x', { size: 32 })

const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts.map((part) => Buffer.from(part)))).digest()
const hex = (base64) => bytesToHex(Buffer.from(base64, 'base64'))
const slotOf = (...keys) => keys.reduce((slot, key) => keccak256(concat([slot, pad(key, { size: 32 })])), ZERO)
const keyId = (name, key) => bytesToHex(sha256(`${name}\n\x01`, Buffer.from(key, 'base64')))
const lineOf = (text, name) => text.split('\n').find((line) => line.startsWith(`${name} `)).slice(name.length + 1)

/** The leaf of a presentation: what was hashed, a line for each field, shown or not. */
function leafHash (presentation) {
  const [head, shown] = presentation.split('\n~')
  const lines = head.split('\n')
  const fields = lines.filter((line) => line.startsWith('field '))
  for (const disclosure of shown.trim().split('~').filter(Boolean)) {
    const name = JSON.parse(Buffer.from(disclosure, 'base64url').toString())[1]
    fields.push(`field ${name} ${sha256(disclosure).toString('base64url')}`)
  }
  const leaf = [...lines.filter((line) => !line.startsWith('field ')), ...fields.sort(), ''].join('\n')
  return bytesToHex(sha256('\0', leaf))
}

function headerOf (base64, made) {
  const rlp = Buffer.from(base64, 'base64')
  const header = createBlockHeaderFromRLP(rlp, { common, skipConsensusFormatValidation: made })
  assert.deepEqual(Buffer.from(header.serialize()), rlp, 'the header is written in another way')
  return header
}

/** The link from an EVM header to the light block that has its hash. */
function headerLink ({ evidence, made }) {
  for (const { header, finality } of evidence.anchors) {
    headerOf(header, made)
    const carried = headerOf(finality.header ?? header, made)
    const hash = evidence.light_blocks[finality.light_block].header.app_hash
    assert.equal(bytesToHex(carried.hash()), `0x${hash.toLowerCase()}`)
    assert.equal(keccak256(hex(finality.header ?? header)), `0x${hash.toLowerCase()}`)
  }
}

/** The link from a log's head and the issuers of its batches to an EVM header. */
async function stateLink ({ evidence, trust, made }) {
  for (const [at, anchor] of evidence.anchors.entries()) {
    const prove = prover(anchor.nodes.map((node) => Buffer.from(node, 'base64')))
    const root = bytesToHex(headerOf(anchor.header, made).stateRoot)
    const storage = async (name) => {
      const { address, code_hash: codeHash } = trust.contracts[name]
      const account = fromRlp(await prove(root, address), 'hex')
      assert.equal(account[3], codeHash, `the code of ${name}`)
      return account[2]
    }
    const holds = async (trie, slot, preimage) =>
      assert.equal(pad(fromRlp(await prove(trie, slot), 'hex'), { size: 32 }), keccak256(preimage))
    const batches = evidence.batches.filter((batch) => batch.anchor === at)
    const origin = lineOf(batches[0].note, 'log')
    const { owner, size, block, ...head } = anchor.head
    assert.equal(hex(head.log_key_id), keyId(origin, anchor.log_key))
    const words = [owner, hex(head.log_key_id), BigInt(size), hex(head.root), hex(head.aux), BigInt(block)]
    await holds(await storage('AnchorLog'), slotOf(bytesToHex(sha256(origin))), encodeAbiParameters(HEAD, words))
    const issuers = await storage('IssuerRegistry')
    for (const { note, key, issuer } of batches) {
      const { custody, registered, revoked, registration } = issuer
      const said = [CUSTODY[custody], BigInt(registered), BigInt(revoked), leafHash(registration)]
      await holds(issuers, slotOf(owner, keyId(lineOf(note, 'issuer'), key)), encodeAbiParameters(ISSUER, said))
    }
  }
}

/** What a pool of nodes proves; the package wants the root's node first and does not mind the others. */
function prover (pool) {
  return async (root, key) => {
    const first = (node) => keccak256(node) === root
    const nodes = [...pool.filter(first), ...pool.filter((node) => !first(node))]
    const value = await verifyMerkleProof(hexToBytes(key), nodes, { root: hexToBytes(root), useKeyHashing: true })
    assert(value, 'proven to be absent')
    return value
  }
}

async function state (given) {
  const refused = {}
  for (const [name, link] of Object.entries({ header: headerLink, state: stateLink })) {
    try {
      await link(given)
    } catch (error) {
      refused[name] = error.message
    }
  }
  return refused
}

async function trie ({ entries, asked }) {
  const made = await createMPT({ useKeyHashing: true })
  for (const [key, value] of entries) await made.put(hexToBytes(key), hexToBytes(value))
  const proofs = []
  for (const key of asked) proofs.push((await createMerkleProof(made, hexToBytes(key))).map((node) => bytesToHex(node)))
  return { root: bytesToHex(made.root()), proofs }
}

async function header (fields) {
  const made = createBlockHeader(fields, { common })
  return { rlp: bytesToHex(made.serialize()), hash: bytesToHex(made.hash()) }
}

async function ancestry ({ header, finality }) {
  const [older, newer] = [headerOf(header), headerOf(finality.header)]
  const base64 = (bytes) => Buffer.from(bytes).toString('base64')
  const place = { index: Number(older.number), size: Number(newer.number), path: finality.path }
  return { leaf: base64(older.hash()), root: base64(newer.extraData), ...place }
}

const modes = { state, trie, header, ancestry }
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  console.log(JSON.stringify(await modes[process.argv[2]](JSON.parse(line))))
}
