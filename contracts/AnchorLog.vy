# SPDX-License-Identifier: GPL-3.0-or-later
# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title AnchorLog
@license GPL-3.0-or-later
@notice
    Holds the newest checkpoint of every province's log, and lets it move only to one that the
    RFC 9162 consistency proof shows to be an extension: a checkpoint once anchored cannot be
    rewritten, not even with the province's own keys.
@dev
    One storage slot a log holds keccak256(abi.encode(Head)). The caller brings the preimage, since
    32 bytes of calldata cost a quarter of reading a slot. No constructor and no immutables: genesis
    places the code. Block numbers are used, never the timestamp.
"""

struct Head:
    # The only account that may anchor.
    owner: address
    # SHA-256(origin ‖ 0A ‖ 01 ‖ Ed25519 public key) of the log's key, untruncated.
    log_key_id: bytes32
    size: uint256
    root: bytes32
    # Zero; reserved for the root of an index over the log.
    aux: bytes32
    # The block in which the head became this one.
    block: uint256

event Registered:
    origin: indexed(bytes32)
    head: Head

event Anchored:
    origin: indexed(bytes32)
    head: Head

event Retired:
    origin: indexed(bytes32)
    successor: bytes32

CONSORTIUM: constant(address) = 0x4d6f6e656f000000000000000000000000000001

# SHA-256 of nothing: the root of a tree without leaves (RFC 9162 section 2.1.1).
EMPTY_ROOT: constant(bytes32) = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

# What an interior node's hash begins with (RFC 9162 section 2.1.1).
NODE: constant(bytes1) = 0x01

# Sizes stay below 2^53, so that every JSON parser reads them exactly.
MAX_SIZE: constant(uint256) = 2**53 - 1

# Lies in a retired log's slot. Being no hash of a Head, it lets nothing be anchored or registered.
RETIRED: constant(bytes32) = keccak256("moneo/retired/v1")

# Origin (SHA-256 of its name) -> keccak256(abi.encode(Head)); zero before registration.
head: public(HashMap[bytes32, bytes32])

# Origin of a retired log -> origin of the log that follows it, or zero.
successor: public(HashMap[bytes32, bytes32])


@external
def register(origin: bytes32, owner: address, log_key_id: bytes32):
    """
    @notice Gives an origin, once and for ever, to its owner: an empty log, ready for its first anchor.
    @dev Only by Consortium.
    """
    assert msg.sender == CONSORTIUM, "only the Consortium registers logs"
    assert owner != empty(address), "owner is zero"
    assert log_key_id != empty(bytes32), "log key id is zero"
    assert self.head[origin] == empty(bytes32), "origin was registered before"

    first: Head = Head(
        owner=owner,
        log_key_id=log_key_id,
        size=0,
        root=EMPTY_ROOT,
        aux=empty(bytes32),
        block=block.number,
    )
    self.head[origin] = keccak256(abi_encode(first))
    log Registered(origin=origin, head=first)


@external
def anchor(
    origin: bytes32,
    head: Head,
    new_size: uint256,
    new_root: bytes32,
    proof: DynArray[bytes32, 64],
):
    """
    @notice Moves a log's head to a larger tree that begins with the leaves of the one before.
    @param head The preimage of what the slot holds now.
    @param proof
        PROOF(head.size, D[new_size]) of RFC 9162 section 2.1.4.1; empty from size 0 and for the
        checkpoint that is already there, which changes nothing.
    """
    assert msg.sender == head.owner, "sender is not the owner"
    # Also where an origin ends that was never registered or is retired: no preimage gives its slot.
    assert keccak256(abi_encode(head)) == self.head[origin], "head preimage is not the stored one"
    assert 0 < new_size and new_size <= MAX_SIZE, "size is out of range"
    assert head.size <= new_size, "a log does not shrink"

    if head.size == 0 or head.size == new_size:
        assert len(proof) == 0, "proof has the wrong length"
        if head.size == new_size:
            assert head.root == new_root, "another root of the same size"
            return
    else:
        # RFC 9162 section 2.1.4.2 by its own names, with two shorthands: dividing by the lowest
        # set bit of the old size strips the levels below its last complete subtree at once, and
        # where both paths have met, clearing the lowest set bit skips the levels without a sibling.
        lowest: uint256 = head.size & unsafe_sub(0, head.size)
        fn: uint256 = unsafe_sub(head.size, 1) // lowest
        sn: uint256 = unsafe_sub(new_size, 1) // lowest
        # An old size that is a power of two is itself the first subtree; otherwise the proof's
        # first hash is.
        seeded: bool = fn == 0
        fr: bytes32 = head.root
        sr: bytes32 = head.root
        for c: bytes32 in proof:
            if not seeded:
                seeded = True
                fr = c
                sr = c
                continue
            if fn & 1 == 0 and fn != sn:
                sr = sha256(concat(NODE, sr, c))
                fn >>= 1
                sn >>= 1
                continue
            fr = sha256(concat(NODE, c, fr))
            sr = sha256(concat(NODE, c, sr))
            if fn != sn:
                fn >>= 1
                sn >>= 1
                continue
            assert fn != 0, "proof has the wrong length"
            fn &= unsafe_sub(fn, 1)
            sn = fn
        assert sn == 0, "proof has the wrong length"
        assert fr == head.root, "proof does not give the old root"
        assert sr == new_root, "proof does not give the new root"

    next: Head = head
    next.size = new_size
    next.root = new_root
    next.block = block.number
    self.head[origin] = keccak256(abi_encode(next))
    log Anchored(origin=origin, head=next)


@external
def retire(origin: bytes32, successor: bytes32):
    """
    @notice Ends a log: its head never moves again, and readers are pointed to its successor.
    @dev Only by Consortium. What was anchored stays proven by the blocks before this one.
    @param successor The origin that goes on; zero where none does.
    """
    assert msg.sender == CONSORTIUM, "only the Consortium retires logs"
    assert successor != origin, "a log does not follow itself"
    last: bytes32 = self.head[origin]
    assert last != empty(bytes32), "origin is not registered"
    assert last != RETIRED, "origin was retired before"

    self.head[origin] = RETIRED
    self.successor[origin] = successor
    log Retired(origin=origin, successor=successor)
