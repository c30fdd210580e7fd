# SPDX-License-Identifier: GPL-3.0-or-later
# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Consortium
@license GPL-3.0-or-later
@notice
    Says who belongs to the consortium and what its chain may be used for. The nodes read its
    storage before they let a transaction in; genesis writes the founding members there.
@dev
    The order of the variables is what the nodes rely on: members in slot 0, callable contracts in
    slot 1. Members are the accounts that may transact.
"""

interface AnchorLog:
    def register(origin: bytes32, owner: address, log_key_id: bytes32): nonpayable

ANCHOR_LOG: constant(address) = 0x4d6f6E656f000000000000000000000000000002

is_member: public(HashMap[address, bool])

# The contracts that a transaction may be addressed to.
is_callable: public(HashMap[address, bool])


@view
@external
def may_transact(account: address) -> bool:
    """
    @notice Tells whether the chain takes transactions of this account.
    """
    return self.is_member[account]


@external
def register_log(origin: bytes32, log_key_id: bytes32):
    """
    @notice Registers a member's own log, which only that member may anchor from then on.
    @param origin SHA-256 of the log's origin.
    @param log_key_id SHA-256(origin ‖ 0A ‖ 01 ‖ Ed25519 public key), untruncated.
    """
    assert self.is_member[msg.sender], "sender is not a member"
    extcall AnchorLog(ANCHOR_LOG).register(origin, msg.sender, log_key_id)
