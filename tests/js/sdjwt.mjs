// SPDX-License-Identifier: GPL-3.0-or-later
// The OpenWallet Foundation's SD-JWT library reads our disclosures, and makes some for us to read. `node sdjwt.mjs MODE`
// reads JSON lines from standard input and answers each with a line:
//   verify   {compact, key}: the claims of a compact SD-JWT by the issuer's key, or {refused}
//   issue    {claims}: a compact SD-JWT that hides each of them
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, verify as verifyBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { SDJwtInstance } from '@sd-jwt/core'

const hasher = (data) => createHash('sha256').update(data).digest()

async function verify ({ compact, key }) {
  const issuer = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: key }, format: 'jwk' })
  const verifier = (data, signature) => verifyBytes(null, Buffer.from(data), issuer, Buffer.from(signature, 'base64url'))
  try {
    return (await new SDJwtInstance({ hasher, verifier }).verify(compact)).payload
  } catch (error) {
    return { refused: error.message }
  }
}

async function issue ({ claims }) {
  const { privateKey } = generateKeyPairSync('ed25519')
  const signer = (data) => sign(null, Buffer.from(data), privateKey).toString('base64url')
  const saltGenerator = (length) => randomBytes(length).toString('base64url')
  const sdjwt = new SDJwtInstance({ hasher, hashAlg: 'sha-256', signer, signAlg: 'EdDSA', saltGenerator })
  return { compact: await sdjwt.issue(claims, { _sd: Object.keys(claims) }) }
}

const modes = { verify, issue }
for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  console.log(JSON.stringify(await modes[process.argv[2]](JSON.parse(line))))
}
