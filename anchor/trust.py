# SPDX-License-Identifier: GPL-3.0-or-later
"""The trust file: the one thing a verifier has to be sure of before it can be sure of anything else.

Format `moneo/trust/v1`, specified in docs/evidence.md: the ids of a chain, a trusted light block
with its EVM header, the changes of validators since, the contracts, and the members by name.
A trust file is checked as a whole when it is read, so that whoever holds a `Trust` holds a
validator set whose every change was signed by more than 2/3 of the set before.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NewType

from anchor import shape
from anchor.errors import FormatError
from anchor.ijson import parse
from anchor.note import check_name
from node.light import (
    LightBlock,
    LightError,
    Timestamp,
    TrustedChain,
    encode_light_block,
    format_time,
    parse_header,
    parse_light_block,
    parse_time,
    verify_eras,
)

FORMAT: Final = "moneo/trust/v1"
CONTRACTS: Final = ("AnchorLog", "IssuerRegistry")
# What the name of a member that has left ends with.
FORMER: Final = " (đã rời · former member)"

MAX_TRUST_BYTES: Final = 1 << 20
MAX_ERAS: Final = 256
MAX_MEMBERS: Final = 256
MAX_HOSTS: Final = 16
MAX_CHAIN_ID: Final = 50  # CometBFT's own limit
MAX_NAME: Final = 256
MAX_DATE: Final = 20
MAX_DEPTH: Final = 8

_MEMBERS: Final = (
    "format",
    "date",
    "evm_chain_id",
    "cometbft_chain_id",
    "light_block",
    "header",
    "eras",
    "contracts",
    "members",
)

Fingerprint = NewType("Fingerprint", str)


class TrustError(FormatError):
    """The trust file is malformed, doesn't bear itself out, or may not replace the pinned one."""


class UnknownTrust(TrustError):  # noqa: N818 - a verdict, said as one
    """The trust file has another format: it needs a newer verifier."""


@dataclass(frozen=True)
class TrustedContract:
    """Where a contract of genesis is (20 bytes) and the keccak-256 of its code."""

    address: bytes
    code_hash: bytes


@dataclass(frozen=True)
class Member:
    """A member of the consortium: EVM address (20 bytes), name, web hosts and log origin."""

    owner: bytes
    name: str
    hosts: tuple[str, ...]
    log: str


@dataclass(frozen=True)
class Trust:
    """A trust file, read and checked. `date` is POSIX seconds, `header` RLP."""

    date: int
    evm_chain_id: int
    cometbft_chain_id: str
    light_block: LightBlock
    header: bytes
    eras: tuple[LightBlock, ...]
    contracts: Mapping[str, TrustedContract]
    members: tuple[Member, ...]

    @property
    def chain(self) -> TrustedChain:
        """What the light client starts from."""
        return TrustedChain(self.cometbft_chain_id, self.light_block, self.eras)

    @property
    def blocks(self) -> tuple[LightBlock, ...]:
        """The light blocks that whoever pins this file believes, in the order of height."""
        return (self.light_block, *self.eras)

    @property
    def validators(self) -> int:
        """How many validators there are now, as far as the file tells.

        Who signs after the last change is named by a hash alone; but each member has one validator.
        """
        if not self.eras:
            return len(self.light_block.validators)
        return sum(not member.name.endswith(FORMER) for member in self.members)

    def member(self, owner: bytes) -> Member | None:
        """Return the member with this EVM address, None if the file doesn't name it."""
        return next((one for one in self.members if one.owner == owner), None)


def fingerprint(data: bytes) -> Fingerprint:
    """Return SHA-256 of a trust file's exact bytes, as hexadecimal digits in groups of four."""
    digits = hashlib.sha256(data).hexdigest()
    return Fingerprint(" ".join(digits[i : i + 4] for i in range(0, len(digits), 4)))


def parse_trust(data: bytes) -> Trust:
    """Read a trust file and check all that can be checked in it.

    Raises `UnknownTrust` for another format, else `TrustError` for whatever is malformed, whose
    signatures don't hold, or whose EVM header isn't the one its light block carries.
    """
    try:
        value = parse(data, max_bytes=MAX_TRUST_BYTES, max_depth=MAX_DEPTH)
        _check_format(value)
        trust = _read(value)
        _check(trust)
    except TrustError:
        raise
    except (FormatError, LightError) as error:
        raise TrustError(f"tệp tin cậy không đúng · trust file: {error}") from error
    return trust


def encode_trust(trust: Trust) -> bytes:
    """Write a trust file: indented JSON, so that people can read it. Raises `TrustError`."""
    data = json.dumps(_write(trust), ensure_ascii=False, indent=1).encode() + b"\n"
    if parse_trust(data) != trust:
        raise TrustError(
            "tệp tin cậy ghi ra không đọc lại được như cũ · "
            "the trust file would not read back as the same"
        )
    return data


def replaces(old: bytes, new: bytes) -> tuple[Member, ...]:
    """Decide whether the trust file `new` may take the place of `old`, which is pinned.

    It may only if it is of the same chain and contracts, not older, knows every change of
    validators that `old` knows, and its light block verifies from `old`. Returns the members that
    are new or changed, for a person to confirm: no signature covers names, hosts and origins.
    Raises `TrustError` saying which of it fails.
    """
    pinned, fresh = parse_trust(old), parse_trust(new)
    ids = [(one.cometbft_chain_id, one.evm_chain_id, one.contracts) for one in (pinned, fresh)]
    if ids[0] != ids[1]:
        raise TrustError(
            "tệp tin cậy mới thuộc chuỗi khác hoặc hợp đồng khác · "
            "the new trust file is of another chain or of other contracts"
        )
    if fresh.date < pinned.date:
        raise TrustError(
            "tệp tin cậy mới cũ hơn tệp đã ghim · the new trust file is older than the pinned one"
        )
    _check_follows(pinned, fresh)
    return tuple(member for member in fresh.members if member not in pinned.members)


def _check_follows(pinned: Trust, fresh: Trust) -> None:
    """The new light block is one of pinned's own, with pinned's eras after it, or of its last era.

    Keys retired since `pinned` was made could sign anything else that looks like its past.
    """
    known = [block.header for block in pinned.blocks]
    if fresh.light_block.header in known:
        later = known[known.index(fresh.light_block.header) + 1 :]
        if [era.header for era in fresh.eras[: len(later)]] != later:
            raise TrustError(
                "tệp tin cậy mới kể khác về các lần đổi nút kiểm chứng · "
                "the new trust file tells the changes of validators differently"
            )
        return
    try:
        past = verify_eras(pinned.chain).finality(fresh.light_block).past
    except LightError as error:
        raise TrustError(
            "khối mới không nối tiếp tệp đã ghim · "
            f"the new light block doesn't follow from the pinned: {error}"
        ) from error
    if past:
        raise TrustError(
            "khối mới do các nút kiểm chứng cũ ký · "
            "the new light block is signed by validators of the past"
        )


def _check_format(value: Any) -> None:
    name = value.get("format") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name.startswith("moneo/trust/"):
        raise TrustError("không phải tệp tin cậy · not a trust file")
    if name != FORMAT:
        raise UnknownTrust(
            "tệp tin cậy này cần bản kiểm tra mới hơn · "
            f"trust file of format {name[:64]}: it needs a newer verifier"
        )


def _read(value: Any) -> Trust:
    _, date, evm, cometbft, block, header, eras, contracts, members = shape.members(
        value, "trust", *_MEMBERS
    )
    return Trust(
        _read_date(date),
        shape.natural(evm, "evm_chain_id"),
        shape.text(cometbft, "cometbft_chain_id", MAX_CHAIN_ID),
        parse_light_block(block),
        shape.base64(header, "header"),
        tuple(parse_light_block(one) for one in shape.items(eras, "eras", MAX_ERAS)),
        _read_contracts(contracts),
        tuple(_read_member(one) for one in shape.items(members, "members", MAX_MEMBERS, 1)),
    )


def _read_date(value: Any) -> int:
    time = parse_time(shape.text(value, "date", MAX_DATE))
    if time.nanos:
        raise TrustError("tệp tin cậy có ngày không đúng · date: whole seconds")
    return time.seconds


def _read_contracts(value: Any) -> Mapping[str, TrustedContract]:
    parts = shape.members(value, "contracts", *CONTRACTS)
    read = {name: _read_contract(part, name) for name, part in zip(CONTRACTS, parts, strict=True)}
    return MappingProxyType(read)


def _read_contract(value: Any, name: str) -> TrustedContract:
    address, code_hash = shape.members(value, name, "address", "code_hash")
    return TrustedContract(
        shape.hexadecimal(address, f"{name}.address", 20),
        shape.hexadecimal(code_hash, f"{name}.code_hash", 32),
    )


def _read_member(value: Any) -> Member:
    owner, name, hosts, log = shape.members(value, "member", "owner", "name", "hosts", "log")
    return Member(
        shape.hexadecimal(owner, "member.owner", 20),
        shape.text(name, "member.name", MAX_NAME),
        tuple(
            shape.text(host, "host", MAX_NAME) for host in shape.items(hosts, "hosts", MAX_HOSTS)
        ),
        check_name(shape.text(log, "member.log", MAX_NAME)),
    )


def _check(trust: Trust) -> None:
    """Check that the file bears itself out: its signatures, its header, nobody named twice."""
    verify_eras(trust.chain)
    header = parse_header(trust.header)
    if header.hash != trust.light_block.header.app_hash:
        raise TrustError(
            "khối của tệp tin cậy không mang tiêu đề EVM này · "
            "the light block doesn't carry this EVM header"
        )
    for names in ([one.owner for one in trust.members], [one.name for one in trust.members]):
        if len(set(names)) != len(names):
            raise TrustError("một thành viên có tên hai lần · a member is named twice")


def _write(trust: Trust) -> dict[str, Any]:
    values = (
        FORMAT,
        format_time(Timestamp(trust.date)),
        trust.evm_chain_id,
        trust.cometbft_chain_id,
        encode_light_block(trust.light_block),
        shape.to_base64(trust.header),
        [encode_light_block(era) for era in trust.eras],
        {name: _write_contract(one) for name, one in trust.contracts.items()},
        [_write_member(one) for one in trust.members],
    )
    return dict(zip(_MEMBERS, values, strict=True))


def _write_contract(one: TrustedContract) -> dict[str, str]:
    return {"address": shape.to_hex(one.address), "code_hash": shape.to_hex(one.code_hash)}


def _write_member(one: Member) -> dict[str, Any]:
    owner = shape.to_hex(one.owner)
    return {"owner": owner, "name": one.name, "hosts": list(one.hosts), "log": one.log}
