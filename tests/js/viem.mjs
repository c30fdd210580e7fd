// SPDX-License-Identifier: GPL-3.0-or-later
// viem at a node: reads, sends, waits, decodes a revert, verifies a proof, watches blocks and logs.
// Takes one argument, JSON: url, key, chainId, consortium, anchorLog (address and abi), origin, logKeyId, slot.
// Prints one JSON object of what it saw; anything that does not hold is an error and exit status 1.
import assert from 'node:assert/strict'
import { verifyMerkleProof } from '@ethereumjs/mpt'
import {
  BaseError, ContractFunctionRevertedError, createPublicClient, createWalletClient, defineChain,
  fromRlp, hexToBigInt, hexToBytes, http, keccak256, webSocket,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'

const given = JSON.parse(process.argv[2])
const chain = defineChain({
  id: given.chainId,
  name: 'Moneo',
  nativeCurrency: { name: 'none', symbol: 'NONE', decimals: 18 },
  rpcUrls: { default: { http: [given.url] } },
})
const account = privateKeyToAccount(given.key)
const overHttp = createPublicClient({ chain, transport: http() })
const wallet = createWalletClient({ chain, account, transport: http() })
const socket = webSocket(given.url.replace('http:', 'ws:'), { reconnect: false, retryCount: 0 })
const overSocket = createPublicClient({ chain, transport: socket })

async function inTrie(root, key, proof) {
  // Nothing in the trie and no trie at all have no nodes to show.
  if (!proof.length) return null
  const nodes = proof.map((node) => hexToBytes(node))
  return verifyMerkleProof(hexToBytes(key), nodes, { root: hexToBytes(root), useKeyHashing: true })
}

async function provenSlot(address, slot, block) {
  const proof = await overHttp.getProof({ address, storageKeys: [slot], blockNumber: block.number })
  const [nonce, balance, storageRoot, codeHash] = fromRlp(
    await inTrie(block.stateRoot, address, proof.accountProof), 'hex')
  assert.equal(storageRoot, proof.storageHash)
  assert.equal(codeHash, keccak256(await overHttp.getCode({ address })))
  assert.equal(BigInt(nonce), BigInt(proof.nonce))
  assert.equal(balance, '0x')
  const [entry] = proof.storageProof
  const value = await inTrie(storageRoot, slot, entry.proof)
  assert.equal(value ? hexToBigInt(fromRlp(value, 'hex')) : 0n, entry.value)
  const forged = structuredClone(entry.proof)
  forged[0] = forged[0].slice(0, -1) + (forged[0].endsWith('0') ? '1' : '0')
  await assert.rejects(inTrie(storageRoot, slot, forged))
  return entry.value
}

async function seen(watch) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('nothing came')), 30_000)
    watch((what) => { clearTimeout(late); resolve(what) }, reject)
  })
}

async function revertReason(call) {
  try {
    await call()
  } catch (error) {
    assert(error instanceof BaseError)
    const cause = error.walk((each) => each instanceof ContractFunctionRevertedError)
    return (cause ?? error).reason ?? error.shortMessage
  }
  return assert.fail('it did not revert')
}

assert.equal(await overHttp.getChainId(), given.chainId)
assert.equal(await overSocket.getChainId(), given.chainId)

// Tells when both subscriptions below have their ids: what comes after that has to be seen.
const subscribe = overSocket.transport.subscribe
const ids = []
const subscribed = new Promise((resolve) => {
  overSocket.transport.subscribe = async (wanted) => {
    const subscription = await subscribe(wanted)
    if (ids.push(subscription.subscriptionId) === 2) resolve()
    return subscription
  }
})
const block = seen((take, fail) =>
  overSocket.watchBlocks({ onBlock: take, onError: fail }))
const logs = seen((take, fail) =>
  overSocket.watchEvent({ address: given.anchorLog.address, onLogs: take, onError: fail }))
await subscribed

const call = {
  ...given.consortium, functionName: 'register_log', args: [given.origin, given.logKeyId], account,
}
const list = await overHttp.createAccessList({
  account, to: given.consortium.address, data: given.calldata,
})
const { request } = await overHttp.simulateContract(call)
const hash = await wallet.writeContract(request)
const receipt = await overHttp.waitForTransactionReceipt({ hash, pollingInterval: 50 })
assert.equal(receipt.status, 'success')
assert(receipt.gasUsed <= list.gasUsed)
assert.equal((await overHttp.getTransaction({ hash })).from, account.address.toLowerCase())

const watched = await block
assert.equal(watched.hash, receipt.blockHash)
assert.equal((await logs)[0].transactionHash, hash)

const reasons = [
  await revertReason(() => overHttp.simulateContract(call)),
  await revertReason(() => overHttp.estimateContractGas(call)),
]
const value = await provenSlot(given.anchorLog.address, given.slot, watched)
assert.notEqual(value, 0n)
const none = await provenSlot(given.anchorLog.address, '0x' + '00'.repeat(31) + '07', watched)
assert.equal(none, 0n)

console.log(JSON.stringify({
  hash,
  block: Number(receipt.blockNumber),
  reasons,
  value: '0x' + value.toString(16).padStart(64, '0'),
  accessList: list.accessList,
}))
process.exit(0)
