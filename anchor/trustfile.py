# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the trust file from what a member's node says, and renews it as members and validators change.

Its date is the time of the newest light block in it: since then the same validators have signed.

What can be verified is: the first light block is signed by the validators that it names itself, each
era by more than 2/3 of the one before, and which accounts are members, with the hashes of their names
and hosts, lies in the state of a block that the newest era has signed. Names, pages and logs come
from the members' cards: RFC 9901 disclosures, whose SHA-256 (§4.2.3) is what the state holds. Nothing
vouches for the first light block itself: that is what a fingerprint is compared for.

Who has left stays in a renewed file, marked and without pages: what was anchored before is still
that province's word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

import contracts
from anchor import shape
from anchor.chain import ChainAnswerError, ChainError, FinalBlock, KnownMember, Reader
from anchor.errors import FormatError
from anchor.finality import (
    FinalState,
    Wait,
    await_final,
    lead_on,
    slot_value,
    storage_root,
    verified,
)
from anchor.note import check_name
from anchor.record import open_disclosure
from anchor.trust import (
    CONTRACTS,
    FORMER,
    MAX_HOSTS,
    MAX_NAME,
    Member,
    Trust,
    TrustedContract,
    TrustError,
    encode_trust,
    parse_trust,
    replaces,
)
from node.light import LightError, TrustedChain, minimal, parse_header, verify_eras

# Base64url of a JSON list of a salt, a word and 16 hosts.
MAX_DISCLOSURE: Final = 16_384


@dataclass(frozen=True)
class Made:
    """A trust file: its bytes, its content, and in words what it could not say of somebody."""

    data: bytes
    trust: Trust
    gaps: tuple[str, ...]


@dataclass(frozen=True)
class _Seat:
    """A member as the chain's state has it: hashes of its log's origin, its name and its hosts."""

    account: bytes
    origin: bytes
    name: bytes
    hosts: bytes


def make(chain: Reader, before: bytes | None, own: Member | None, wait: Wait) -> Made:
    """Make a chain's trust file, in the place of `before` where there is one.

    `own` is whoever makes it, as it names itself: the only member of a chain that no votes govern, and
    one of others while its card is missing. All else follows from the chain: two members who have the
    same cards make the same bytes, once the newest light block in it has a successor (until then each
    node lists the votes that reached it). What comes of it may replace `before`. Raises ChainError if
    the node can't say now or says what is not so, TrustError if there is no such file.
    """
    old = parse_trust(before) if before else None
    first = await_final(chain, parse_header(old.header).number if old else 0, wait)
    trusted = lead_on(_founded(first), chain)
    blocks = (trusted.light_block, *trusted.eras)
    if old and before:
        told, known = ([one.header for one in each] for each in (blocks, old.blocks))
        if told != known[: len(told)] and told[: len(known)] != known:
            raise ChainAnswerError(
                "nút trả lời sai · eras of validators other than those of the trust file"
            )
        if len(told) < len(known):
            # A node that is behind tells of nothing new.
            return Made(before, old, ())
    listed = chain.members()
    if listed:
        seats = _seats(chain, trusted)
        if old and before and {s.account for s in seats} != {m.account for m in listed}:
            # Members have just changed, and nobody has signed that state yet.
            return Made(before, old, ())
        members, gaps = _named(seats, listed, old.members if old else (), own)
    elif own:
        members, gaps = (own,), ()
    else:
        raise TrustError(
            "đây là chuỗi riêng của một tỉnh: tệp tin cậy có ở trang của tỉnh đó · this is a "
            "province's own chain: its trust file is on that province's page (/v1/trust)"
        )
    trust = Trust(
        date=max(blocks[-1].header.time.seconds, old.date if old else 0),
        evm_chain_id=chain.chain_id(),
        cometbft_chain_id=trusted.chain_id,
        light_block=trusted.light_block,
        header=first.header,
        eras=trusted.eras,
        contracts={name: _contract(name) for name in CONTRACTS},
        members=members,
    )
    if old and before and trust == old:
        return Made(before, old, gaps)
    data = encode_trust(trust)
    if before:
        replaces(before, data)
    return Made(data, trust, gaps)


def _founded(first: FinalBlock) -> TrustedChain:
    try:
        light_block = minimal(first.light_block)
        if parse_header(first.header).hash != light_block.header.app_hash:
            raise ChainAnswerError("nút trả lời sai · the first light block carries another header")
    except LightError as error:
        raise ChainAnswerError(
            f"khối đầu của chuỗi không đúng · the chain's first light block: {error}"
        ) from error
    return TrustedChain(light_block.header.chain_id, light_block)


def _contract(name: str) -> TrustedContract:
    return TrustedContract(contracts.ADDRESSES[name], contracts.code_hash(name))


# What the chain's state says of the members


def _seats(chain: Reader, trusted: TrustedChain) -> list[_Seat]:
    """Return the members in the state of the newest final block."""
    answer = chain.newest_final()
    if answer is None:
        raise ChainError("chưa có khối nào được chốt · no block is final yet")
    final = verified(answer, verify_eras(trusted))
    count = int.from_bytes(_read(chain, final, [_numbered("member_count")])[0], "big")
    if not 0 < count <= contracts.MAX_MEMBERS:
        raise ChainAnswerError("nút trả lời sai · the chain's state has no members")
    places = [contracts.seat_slot(at) for at in range(count)]
    accounts = [word[12:] for word in _read(chain, final, places)]
    fields = ("origin", "name", "hosts")
    slots = [contracts.record_slot(account, name) for account in accounts for name in fields]
    words = iter(_read(chain, final, slots))
    return [_Seat(account, next(words), next(words), next(words)) for account in accounts]


def _numbered(name: str) -> bytes:
    return contracts.CONSORTIUM_SLOTS[name].to_bytes(32, "big")


def _read(chain: Reader, final: FinalState, slots: Sequence[bytes]) -> list[bytes]:
    """Return what the slots of Consortium hold, proven."""
    proof = chain.proof("Consortium", slots, final.header.number)
    try:
        root = storage_root(final.header, "Consortium", proof)
        return [slot_value(root, *each) for each in zip(slots, proof.slots, strict=True)]
    except LightError as error:
        raise ChainAnswerError(f"nút trả lời sai · proof of the members: {error}") from error


# What their cards say


def _named(
    seats: Sequence[_Seat],
    listed: Iterable[KnownMember],
    before: Sequence[Member],
    own: Member | None,
) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    """Return today's members by name, those who have left after them, and what is not known."""
    cards = {each.account: each.card for each in listed}
    # Whose pages they are today, nobody says.
    known = {each.owner: replace(each, hosts=()) for each in before}
    if own:
        known[own.owner] = own
    members: list[Member] = []
    gaps: list[str] = []
    for seat in seats:
        try:
            members.append(_open_card(seat, cards.get(seat.account)))
            gaps += _new_log(seat, members[-1])
        except FormatError as error:
            kept = known.get(seat.account)
            members += [kept] if kept else []
            gaps.append(_gap(seat, error, kept))
    seated = {seat.account for seat in seats}
    members += [_former(one) for one in before if one.owner not in seated]
    if not members:
        raise TrustError(
            "nút này không có thẻ của thành viên nào · this node has no member's card: put the "
            "cards into its folder cards/"
        )
    return _distinct(members), tuple(gaps)


def _new_log(seat: _Seat, member: Member) -> list[str]:
    if sha256(member.log.encode()).digest() == seat.origin:
        return []
    # A log is named for people: what is verified goes by its owner.
    return [
        f"{member.name}: nhật ký mới chưa rõ tên, ghi tên cũ · its newest log's name is not on its "
        f"card, which says {member.log}"
    ]


def _gap(seat: _Seat, error: FormatError, kept: Member | None) -> str:
    account = shape.to_hex(seat.account)
    if kept:
        return f"{kept.name}: thiếu thẻ, giữ tên cũ · for want of its card the known name stays: {error}"
    return f"thiếu thành viên {account} · member {account} is left out: {error}"


def _open_card(seat: _Seat, card: Any) -> Member:
    """Return what a member's card says, each part being what the chain's state has the hash of."""
    if not isinstance(card, Mapping):
        raise FormatError("không có thẻ · there is no card of it")
    name = shape.text(_disclosed(card, "name", seat.name), "name", MAX_NAME - len(FORMER))
    if not name.isprintable():
        raise FormatError("its name is not one line of text")
    told = _disclosed(card, "hosts", seat.hosts)
    pages = shape.items(told.get("pages") if isinstance(told, dict) else None, "pages", MAX_HOSTS)
    log = check_name(shape.text(card.get("log"), "log", MAX_NAME))
    return Member(seat.account, name, tuple(shape.text(p, "page", MAX_NAME) for p in pages), log)


def _disclosed(card: Mapping[str, Any], name: str, digest: bytes) -> Any:
    text = shape.text(card.get(name), name, MAX_DISCLOSURE)
    if not text.isascii() or sha256(text.encode()).digest() != digest:
        raise FormatError(f"thẻ đã cũ · its card is old: the chain has another hash of its {name}")
    said, value = open_disclosure(text)
    if said != name:
        raise FormatError(f"its card gives something else for its {name}")
    return value


def _former(one: Member) -> Member:
    name = one.name if one.name.endswith(FORMER) else one.name + FORMER
    return replace(one, name=name, hosts=())


def _distinct(members: Sequence[Member]) -> tuple[Member, ...]:
    """Tell members of one name apart by their logs; a trust file names nobody twice."""
    names = [one.name for one in members]
    return tuple(
        one
        if names.count(one.name) == 1
        else replace(one, name=f"{one.name[:80]} [{one.log[:150]}]")
        for one in members
    )
