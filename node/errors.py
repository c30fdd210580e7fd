# SPDX-License-Identifier: GPL-3.0-or-later
"""So that whoever runs or asks a node can tell whose fault a failure is: one tree of errors.

    NodeError
    ├── GenesisError        the founding file or the node's home is unusable
    ├── StorageError        the data folder cannot be opened, read or written
    │   └── StorageLocked   another node holds it
    ├── ChainError          what is stored does not fit this genesis or is damaged
    │   └── UnknownBlock    no such block, or its state is not here
    ├── OrderError          the orderer called out of turn (a fault of the program)
    ├── NotReady            consensus cannot be asked now
    ├── UpgradeNeeded       the members have decided that another program goes on from here
    └── TransactionRefused  a transaction against the rules; code and reason for its sender

What a light client raises is apart, in `node.light`: it runs where there is no node.
"""

from enum import IntEnum, unique


@unique
class Code(IntEnum):
    """What became of a transaction. The numbers are part of consensus: never give one anew.

    Only the first two mean that it is in an EVM block.
    """

    OK = 0
    REVERTED = 1
    MALFORMED = 2
    WRONG_TYPE = 3
    WRONG_CHAIN = 4
    BAD_SIGNATURE = 5
    NOT_CALLABLE = 6
    NOT_ALLOWED = 7
    WRONG_GAS = 8
    NO_FUNDS = 9
    NONCE_TOO_LOW = 10
    NONCE_GAP = 11
    BLOCK_FULL = 12
    FAULT = 13


class NodeError(Exception):
    """Root of everything that this room raises on purpose."""


class GenesisError(NodeError):
    """The founding file, a key, or the node's home is missing, malformed or in the way."""


class StorageError(NodeError):
    """The data folder cannot be opened, read or written."""


class StorageLocked(StorageError):  # noqa: N818 - says a state, like BlockingIOError's kin
    """Another process has the data folder open."""


class ChainError(NodeError):
    """What is stored belongs to another genesis, or is damaged."""


class UnknownBlock(ChainError):  # noqa: N818 - reads as what it is at the border
    """There is no such block here."""


class OrderError(NodeError):
    """The orderer asked for a step out of turn: wrong height, commit without finalize."""


class NotReady(NodeError):  # noqa: N818 - a state
    """Whoever orders blocks is just starting or ending, and cannot be asked."""


class UpgradeNeeded(NodeError):  # noqa: N818 - a decision of the members
    """From this height on the chain needs a program that knows the plan that was voted."""


class TransactionRefused(NodeError):  # noqa: N818 - a verdict about a transaction
    """A transaction against the rules of this chain.

    `code` is never OK or REVERTED; `message` is for its sender and no part of consensus.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
