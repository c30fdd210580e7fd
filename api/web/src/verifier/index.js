// SPDX-License-Identifier: GPL-3.0-or-later
// The verifier of docs/evidence.md, for browsers and Node: what others may import.

export { codePath } from './codes.js';
export { CodeError, TrustError } from './errors.js';
export { fingerprint, openTrust, replaces } from './trust.js';
export { verify } from './verify.js';
