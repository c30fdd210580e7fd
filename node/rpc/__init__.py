# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's door for web3.py, cast, viem and ethers: Ethereum's JSON-RPC, and Moneo's own methods.

Ethereum JSON-RPC specification (execution-apis) over JSON-RPC 2.0; EIP-1474 for error codes.

errors    what a caller did wrong, as codes
hexes     quantities, data and the other words of a request, in and out
shapes    blocks, transactions, receipts and logs as clients expect them
logs      which logs a filter finds, and the filters that a client has set up
methods   the table of methods
dispatch  JSON-RPC's envelope: batches, ids, errors
subscriptions  what a client on a WebSocket is told unasked
sockets   WebSockets: who may connect, and what becomes of those who do not read
server    HTTP: who may ask, and how much at a time

docs/rpc.md is the surface for those who use it.
"""

from node.rpc.methods import Backend
from node.rpc.server import create_app

__all__ = ["Backend", "create_app"]
