# SPDX-License-Identifier: GPL-3.0-or-later
"""One error for each way in which bytes that a light client is given can be wrong.

LightError
├── MerkleError        a tree's size, index or path does not fit, or a root differs
├── SignatureError     a key or a signature breaks the one Ed25519 rule
├── RlpError           bytes are not canonical RLP, or exceed a bound
├── HeaderError        an EVM header has too few fields or one of the wrong kind
├── TrieError          a state proof is broken, incomplete or has something left over
├── LightBlockError    a CometBFT light block is malformed or not signed by enough power
└── EraError           a light block is not of an era that leads back to trust
"""


class LightError(ValueError):
    """Something given to the light client does not verify; the message says what."""


class MerkleError(LightError):
    """A size, index or path does not fit a tree, or a computed root differs."""


class SignatureError(LightError):
    """A public key or signature is refused, or the signature is not of this message."""


class RlpError(LightError):
    """The bytes are not the one canonical RLP of an item, or exceed a bound."""


class HeaderError(LightError):
    """An EVM header has too few fields, or one of the wrong kind or length."""


class TrieError(LightError):
    """A state proof is broken, lacks a node, or holds one that nothing needs."""


class LightBlockError(LightError):
    """A CometBFT light block is malformed, inconsistent or not signed by enough power."""


class EraError(LightError):
    """A light block's validators can't be reached from the trusted light block."""
