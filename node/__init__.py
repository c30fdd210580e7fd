# SPDX-License-Identifier: GPL-3.0-or-later
"""A validator of the consortium's EVM chain, and the light client that checks it from outside.

This package imports nothing of its own but `node.later`: `node.light` has to work in the base install,
without py-evm, and the node's own modules are named by whoever runs one.
"""

from node.later import put_off

put_off()
