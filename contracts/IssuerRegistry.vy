# SPDX-License-Identifier: GPL-3.0-or-later
# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title IssuerRegistry
@license GPL-3.0-or-later
@notice
    Says which keys sign for the businesses of a province, since when and until when, and whether
    the business or the province keeps the key. A key registers once, is never reactivated, and
    keeps its custody for life.
@dev
    One storage slot a key holds keccak256(abi.encode(Issuer)), under the account that registered
    it: nobody can write in another's name. No names are on the chain, only the leaf hash of the
    salted registration record. That the business holds the key is proven off chain.
"""

struct Issuer:
    # HOLDER or OPERATOR.
    custody: uint256
    # The block of registration.
    registered: uint256
    # The block of revocation; 0 while the key is in use.
    revoked: uint256
    # The leaf hash of the registration record.
    registration: bytes32

event Registered:
    owner: indexed(address)
    issuer_key_id: indexed(bytes32)
    issuer: Issuer

event Revoked:
    owner: indexed(address)
    issuer_key_id: indexed(bytes32)
    issuer: Issuer

# The business keeps its key.
HOLDER: constant(uint256) = 1
# The province keeps the key for the business.
OPERATOR: constant(uint256) = 2

# Owner -> SHA-256(issuer's name ‖ 0A ‖ 01 ‖ Ed25519 public key) -> keccak256(abi.encode(Issuer)).
issuer: public(HashMap[address, HashMap[bytes32, bytes32]])


@external
def register(issuer_key_id: bytes32, custody: uint256, registration: bytes32):
    """
    @notice Registers a key of one of the sender's businesses.
    """
    assert issuer_key_id != empty(bytes32), "issuer key id is zero"
    assert custody == HOLDER or custody == OPERATOR, "custody is neither holder nor operator"
    assert registration != empty(bytes32), "registration is zero"
    assert self.issuer[msg.sender][issuer_key_id] == empty(bytes32), "key was registered before"

    issuer: Issuer = Issuer(
        custody=custody, registered=block.number, revoked=0, registration=registration
    )
    self.issuer[msg.sender][issuer_key_id] = keccak256(abi_encode(issuer))
    log Registered(owner=msg.sender, issuer_key_id=issuer_key_id, issuer=issuer)


@external
def revoke(issuer_key_id: bytes32, custody: uint256, registered: uint256, registration: bytes32):
    """
    @notice Ends a key for good; what it signed and was anchored before stays valid.
    @dev The last three arguments are the preimage of what the slot holds; revoked is 0 in it, so
        that a revoked key, like one that was never registered, has no preimage to bring.
    """
    issuer: Issuer = Issuer(
        custody=custody, registered=registered, revoked=0, registration=registration
    )
    stored: bytes32 = self.issuer[msg.sender][issuer_key_id]
    assert keccak256(abi_encode(issuer)) == stored, "issuer preimage is not the stored one"

    issuer.revoked = block.number
    self.issuer[msg.sender][issuer_key_id] = keccak256(abi_encode(issuer))
    log Revoked(owner=msg.sender, issuer_key_id=issuer_key_id, issuer=issuer)
