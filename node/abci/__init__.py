# SPDX-License-Identifier: GPL-3.0-or-later
"""One of many validators: CometBFT orders, and this node executes what it has ordered.

CometBFT 0.38, `spec/abci`: ABCI 2.0 over gRPC. CometBFT is a program of its own that this process
begins and ends with, and that keeps its blocks and votes in `cometbft/` in the node's home. The two
talk over sockets in that folder, which only its owner can enter; towards others CometBFT opens the
port for its peers and nothing else.

messages   the messages of ABCI, as far as they are used
service    what CometBFT asks, answered by `node.application`
home       CometBFT's own files, made of the node's
client     what is asked of CometBFT: to spread a transaction, for a light block
peers      who is let in, and called
process    the program: where it is, its version, its beginning and end
orderer    all of it, in the place of the built-in sequencer
"""

from node.abci.home import Peering
from node.abci.orderer import CometOrderer, open_comet

__all__ = ["CometOrderer", "Peering", "open_comet"]
