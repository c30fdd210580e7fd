# SPDX-License-Identifier: GPL-3.0-or-later
# pragma version 0.4.3
# pragma evm-version cancun
# pragma optimize gas
"""
@title Consortium
@license GPL-3.0-or-later
@notice
    Says who belongs to the consortium and what its chain may be used for, and lets its members
    change that by more than two thirds of their votes. The nodes read its storage before they let
    a transaction in, and hand its validators to CometBFT; genesis writes the founding members there.
@dev
    The order of the variables is what nodes and verifiers rely on: the package around it has the
    slots. A proposal is put to the members of one era: whenever they or their validator keys
    change, the era ends, and with it every proposal that is still open. So all votes counted
    together are of today's members, one each. A vote carries what it is for, not only its number.
    CometBFT stops for good at a set it cannot take: keys are never used twice, the set is never
    empty, and it changes once in a block at most.
"""

interface AnchorLog:
    def head(origin: bytes32) -> bytes32: view
    def register(origin: bytes32, owner: address, log_key_id: bytes32): nonpayable
    def retire(origin: bytes32, successor: bytes32): nonpayable

struct Member:
    # Ed25519, of the validator that signs for this member.
    validator_key: bytes32
    # CometBFT's name of its node in the network: SHA-256(node key)[:20].
    node_id: bytes20
    # SHA-256 of its newest log's origin, and that log's key id as AnchorLog has it.
    origin: bytes32
    log_key_id: bytes32
    # SHA-256 of salted disclosures (RFC 9901): what it is called, and where it is found.
    name: bytes32
    hosts: bytes32

struct Admission:
    account: address
    member: Member

struct KeyChange:
    account: address
    validator_key: bytes32

struct Listing:
    target: address
    listed: bool

struct Retirement:
    origin: bytes32
    successor: bytes32

struct Upgrade:
    # The consensus height from which another program is needed; 0 for none.
    height: uint256
    # SHA-256 of what says which program.
    plan: bytes32

struct Proposal:
    # keccak256(kind ‖ payload).
    digest: bytes32
    era: uint256
    # Votes are taken up to this block.
    last_block: uint256
    yes: uint256
    no: uint256
    # OPEN, ACCEPTED or REJECTED.
    outcome: uint256

event Proposed:
    number: indexed(uint256)
    proposer: indexed(address)
    kind: indexed(uint256)
    payload: Bytes[PAYLOAD]
    proof: Bytes[PROOF]

event Voted:
    number: indexed(uint256)
    voter: indexed(address)
    approve: bool

event Closed:
    number: indexed(uint256)
    outcome: uint256

event EraBegan:
    era: indexed(uint256)
    members: uint256
    validators_hash: bytes32

event HostsChanged:
    account: indexed(address)
    node_id: bytes20
    hosts: bytes32

ANCHOR_LOG: constant(address) = 0x4d6f6E656f000000000000000000000000000002

# What is proposed; the payload is abi.encode of what stands after it.
ADMIT: constant(uint256) = 1  # Admission
REMOVE: constant(uint256) = 2  # address
CHANGE_KEY: constant(uint256) = 3  # KeyChange
LIST: constant(uint256) = 4  # Listing
GAS_LIMIT: constant(uint256) = 5  # uint256
RETIRE: constant(uint256) = 6  # Retirement
UPGRADE: constant(uint256) = 7  # Upgrade

OPEN: constant(uint256) = 0
ACCEPTED: constant(uint256) = 1
REJECTED: constant(uint256) = 2

# The set's order is made anew at each change: with this many members that is still within the gas
# that a transaction may use.
MAX_MEMBERS: constant(uint256) = 64
# An Admission.
PAYLOAD: constant(uint256) = 224
# Of an admission: v, r, s of the account; then the Ed25519 signatures by validator, node and log
# key, the latter two with the key before the signature.
PROOF: constant(uint256) = 352
SIGNATURE: constant(uint256) = 64
# Weeks where a block is made every few seconds: an old proposal does not wait for its last vote.
VOTING_BLOCKS: constant(uint256) = 1_000_000
# A node takes no genesis beyond these; a vote has to fit into a block.
MIN_GAS_LIMIT: constant(uint256) = 1_000_000
MAX_GAS_LIMIT: constant(uint256) = 100_000_000
# Addresses up to here are or may become precompiles.
LAST_PRECOMPILE: constant(uint160) = 65_535

# What begins the statement by which keys are shown to be possessed.
POSSESSION: constant(bytes32) = keccak256("moneo/possession/v1")

# CometBFT's SimpleValidator around an Ed25519 key: pub_key {ed25519: 32 bytes}, voting_power: 1,
# as a leaf (00) of its RFC 6962 tree.
LEAF: constant(Bytes[5]) = x"000a220a20"
POWER: constant(Bytes[2]) = x"1001"
NODE: constant(bytes1) = 0x01

# The accounts that may transact, and vote.
is_member: public(HashMap[address, bool])

# The contracts that a transaction may be addressed to.
is_callable: public(HashMap[address, bool])

# Counts the sets of members and keys, from 1. Zero where genesis left the validators to others than
# the members: then no vote changes them.
era: public(uint256)

# The block in which the era began.
era_since: public(uint256)

# Era -> what CometBFT's headers call the validators hash.
validators_hash: public(HashMap[uint256, bytes32])

member: public(HashMap[address, Member])

# SHA-256(key)[:20] of every validator and node key that a member ever had.
is_used: public(HashMap[bytes20, bool])

# Origin -> the account for which it is kept until it is registered.
kept_for: public(HashMap[bytes32, address])

# Of a block.
gas_limit: public(uint256)

upgrade: public(Upgrade)

# Proposals are numbered from 1.
proposal_count: public(uint256)

proposal: public(HashMap[uint256, Proposal])

has_voted: public(HashMap[uint256, HashMap[address, bool]])

# The members' accounts in CometBFT's order of their validators: by SHA-256(validator key)[:20].
members: public(DynArray[address, MAX_MEMBERS])


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
    @notice
        Registers a member's own log, which only that member may anchor from then on. A member
        changes its log's key by registering a new log.
    @param origin SHA-256 of the log's origin.
    @param log_key_id SHA-256(origin ‖ 0A ‖ 01 ‖ Ed25519 public key), untruncated.
    """
    assert self.is_member[msg.sender], "sender is not a member"
    kept_for: address = self.kept_for[origin]
    assert kept_for in [empty(address), msg.sender], "origin is kept for another member"
    self.member[msg.sender].origin = origin
    self.member[msg.sender].log_key_id = log_key_id
    extcall AnchorLog(ANCHOR_LOG).register(origin, msg.sender, log_key_id)


@external
def change_hosts(node_id: bytes20, hosts: bytes32):
    """
    @notice Changes where a member is found; only that member does so.
    @param node_id The one it has, or one that no member ever had.
    """
    assert self.is_member[msg.sender], "sender is not a member"
    assert hosts != empty(bytes32), "hosts is zero"
    if node_id != self.member[msg.sender].node_id:
        self._check_unused(node_id)
        self.is_used[node_id] = True
        self.member[msg.sender].node_id = node_id
    self.member[msg.sender].hosts = hosts
    log HostsChanged(account=msg.sender, node_id=node_id, hosts=hosts)


@external
def propose(kind: uint256, payload: Bytes[PAYLOAD], proof: Bytes[PROOF]) -> uint256:
    """
    @notice Puts a change to the members, with the sender's own vote for it; returns its number.
    @dev What cannot be done is refused here already, and looked at again when it is done.
    @param proof
        That new keys are possessed: see PROOF for an admission, the new key's signature for a
        change of key, else empty. What Ed25519 keys sign is ASCII "moneo/possession/v1", LF, the
        statement's hash; the nodes verify that, since the EVM cannot.
    """
    assert self.is_member[msg.sender], "sender is not a member"
    self._check_proof(kind, payload, proof)
    self._act(kind, payload, False)

    number: uint256 = self.proposal_count + 1
    self.proposal_count = number
    self.proposal[number] = Proposal(
        digest=self._digest(kind, payload),
        era=self.era,
        last_block=block.number + VOTING_BLOCKS,
        yes=0,
        no=0,
        outcome=OPEN,
    )
    log Proposed(number=number, proposer=msg.sender, kind=kind, payload=payload, proof=proof)
    self._count(number, True, kind, payload)
    return number


@external
def vote(number: uint256, approve: bool, kind: uint256, payload: Bytes[PAYLOAD]):
    """
    @notice
        Votes for or against a proposal, once. The vote that makes more than two thirds of the
        members puts it into effect; the one after which that many cannot be reached any more ends it.
    @param kind As proposed, and so the payload: what the sender means to vote on.
    """
    assert self.is_member[msg.sender], "sender is not a member"
    proposal: Proposal = self.proposal[number]
    assert proposal.digest == self._digest(kind, payload), "no such proposal of this content"
    assert proposal.outcome == OPEN, "proposal was decided before"
    assert proposal.era == self.era, "members or keys have changed since: propose it again"
    assert block.number <= proposal.last_block, "voting has ended: propose it again"
    assert not self.has_voted[number][msg.sender], "sender has voted before"
    self._count(number, approve, kind, payload)


@internal
def _count(number: uint256, approve: bool, kind: uint256, payload: Bytes[PAYLOAD]):
    """
    @dev Counts a vote that may be given, and does what it decides.
    """
    self.has_voted[number][msg.sender] = True
    log Voted(number=number, voter=msg.sender, approve=approve)
    members: uint256 = len(self.members)
    if approve:
        yes: uint256 = self.proposal[number].yes + 1
        self.proposal[number].yes = yes
        if 3 * yes > 2 * members:
            self._close(number, ACCEPTED)
            self._act(kind, payload, True)
    else:
        no: uint256 = self.proposal[number].no + 1
        self.proposal[number].no = no
        if 3 * no >= members:
            self._close(number, REJECTED)


@internal
def _close(number: uint256, outcome: uint256):
    self.proposal[number].outcome = outcome
    log Closed(number=number, outcome=outcome)


@internal
def _act(kind: uint256, payload: Bytes[PAYLOAD], now: bool):
    """
    @dev Refuses what cannot be done; does it if `now`, else leaves all as it is.
    """
    if kind == ADMIT:
        self._admit(abi_decode(payload, Admission), now)
    elif kind == REMOVE:
        self._remove(abi_decode(payload, address), now)
    elif kind == CHANGE_KEY:
        self._change_key(abi_decode(payload, KeyChange), now)
    elif kind == LIST:
        listing: Listing = abi_decode(payload, Listing)
        # Otherwise no vote could ever be given again.
        assert listing.target != self, "the Consortium stays callable"
        assert convert(listing.target, uint160) > LAST_PRECOMPILE, "target is a precompile"
        if now:
            self.is_callable[listing.target] = listing.listed
    elif kind == GAS_LIMIT:
        limit: uint256 = abi_decode(payload, uint256)
        assert MIN_GAS_LIMIT <= limit and limit <= MAX_GAS_LIMIT, "gas limit is out of range"
        if now:
            self.gas_limit = limit
    elif kind == RETIRE:
        last: Retirement = abi_decode(payload, Retirement)
        if now:
            extcall AnchorLog(ANCHOR_LOG).retire(last.origin, last.successor)
        else:
            head: bytes32 = staticcall AnchorLog(ANCHOR_LOG).head(last.origin)
            assert head != empty(bytes32), "origin is not registered"
    elif kind == UPGRADE:
        upgrade: Upgrade = abi_decode(payload, Upgrade)
        # An EVM block takes a height of consensus, and not every height makes one.
        assert upgrade.height == 0 or upgrade.height > block.number, "height is in the past"
        assert (upgrade.height == 0) == (upgrade.plan == empty(bytes32)), "plan does not fit height"
        if now:
            self.upgrade = upgrade
    else:
        raise "kind is unknown"


@internal
def _admit(new: Admission, now: bool):
    self._check_change(now)
    assert not self.is_member[new.account], "account is a member's"
    assert len(self.members) < MAX_MEMBERS, "there is no room for another member"
    member: Member = new.member
    place: bytes20 = self._place(member.validator_key)
    self._check_unused(place)
    self._check_unused(member.node_id)
    assert place != member.node_id, "a key has two uses"
    assert member.validator_key != empty(bytes32), "validator key is zero"
    assert member.log_key_id != empty(bytes32), "log key id is zero"
    assert member.name != empty(bytes32), "name is zero"
    assert member.hosts != empty(bytes32), "hosts is zero"
    assert self.kept_for[member.origin] == empty(address), "origin is kept for another member"
    head: bytes32 = staticcall AnchorLog(ANCHOR_LOG).head(member.origin)
    assert head == empty(bytes32), "origin was registered before"
    if now:
        self.is_member[new.account] = True
        self.member[new.account] = member
        self.is_used[place] = True
        self.is_used[member.node_id] = True
        self.kept_for[member.origin] = new.account
        self._begin_era(empty(address), new.account)


@internal
def _remove(account: address, now: bool):
    self._check_change(now)
    assert self.is_member[account], "account is no member's"
    assert len(self.members) > 1, "somebody has to stay"
    if now:
        self.is_member[account] = False
        self.member[account] = empty(Member)
        self._begin_era(account, empty(address))


@internal
def _change_key(change: KeyChange, now: bool):
    self._check_change(now)
    assert self.is_member[change.account], "account is no member's"
    assert change.validator_key != empty(bytes32), "validator key is zero"
    place: bytes20 = self._place(change.validator_key)
    self._check_unused(place)
    if now:
        self.is_used[place] = True
        self.member[change.account].validator_key = change.validator_key
        self._begin_era(change.account, change.account)


@view
@internal
def _check_change(now: bool):
    """
    @dev Refuses a change of the set where votes do not make it, and a second one in a block.
    """
    assert self.era != 0, "the validators of this chain are fixed"
    assert not now or self.era_since < block.number, "validators changed in this block: vote later"


@view
@internal
def _check_unused(place: bytes20):
    assert place != empty(bytes20), "node id is zero"
    assert not self.is_used[place], "a key was used before"


@view
@internal
def _check_proof(kind: uint256, payload: Bytes[PAYLOAD], proof: Bytes[PROOF]):
    """
    @dev An account agrees to its admission; a member changes its own key only.
    """
    if kind == ADMIT:
        assert len(proof) == PROOF, "proof has the wrong length"
        new: Admission = abi_decode(payload, Admission)
        statement: bytes32 = keccak256(
            concat(
                POSSESSION,
                convert(chain.id, bytes32),
                convert(self, bytes32),
                convert(kind, bytes32),
                payload,
            )
        )
        v: uint256 = convert(slice(proof, 0, 32), uint256)
        r: uint256 = convert(slice(proof, 32, 32), uint256)
        s: uint256 = convert(slice(proof, 64, 32), uint256)
        assert new.account != empty(address), "account is zero"
        assert ecrecover(statement, v, r, s) == new.account, "account has not signed"
    elif kind == CHANGE_KEY:
        assert len(proof) == SIGNATURE, "proof has the wrong length"
        change: KeyChange = abi_decode(payload, KeyChange)
        assert change.account == msg.sender, "only its holder changes a key"
    else:
        assert len(proof) == 0, "proof has the wrong length"


@pure
@internal
def _digest(kind: uint256, payload: Bytes[PAYLOAD]) -> bytes32:
    return keccak256(concat(convert(kind, bytes32), payload))


@pure
@internal
def _place(key: bytes32) -> bytes20:
    """
    @dev What CometBFT calls a key's address, and sorts validators of equal power by.
    """
    return convert(slice(sha256(key), 0, 20), bytes20)


@internal
def _begin_era(leaving: address, joining: address):
    """
    @dev Lists the members without the one and with the other, both with their newest keys.
    """
    joining_at: bytes20 = self._place(self.member[joining].validator_key)
    waiting: bool = joining != empty(address)
    before: DynArray[address, MAX_MEMBERS] = self.members
    after: DynArray[address, MAX_MEMBERS] = []
    tree: DynArray[bytes32, MAX_MEMBERS] = []
    for account: address in before:
        if account == leaving:
            continue
        key: bytes32 = self.member[account].validator_key
        if waiting and convert(joining_at, uint160) < convert(self._place(key), uint160):
            after.append(joining)
            tree.append(self._leaf(self.member[joining].validator_key))
            waiting = False
        after.append(account)
        tree.append(self._leaf(key))
    if waiting:
        after.append(joining)
        tree.append(self._leaf(self.member[joining].validator_key))

    # Joining pairs and moving the odd one up gives the tree of RFC 6962 section 2.1.
    size: uint256 = len(tree)
    for level: uint256 in range(6):
        for i: uint256 in range(size // 2, bound=MAX_MEMBERS // 2):
            tree[i] = sha256(concat(NODE, tree[2 * i], tree[2 * i + 1]))
        if size % 2 == 1:
            tree[size // 2] = tree[size - 1]
        size = (size + 1) // 2

    self.members = after
    self.era += 1
    self.era_since = block.number
    self.validators_hash[self.era] = tree[0]
    log EraBegan(era=self.era, members=len(after), validators_hash=tree[0])


@pure
@internal
def _leaf(key: bytes32) -> bytes32:
    return sha256(concat(LEAF, key, POWER))
