# SPDX-License-Identifier: GPL-3.0-or-later
"""`moneo node export-trust`: a trust file from any member's node, for whoever wants to check for himself.

Exit status: 0 when the file is written, 2 when it can't be made.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from anchor.cli import AsJson, console, print_json
from anchor.durable import write_durably
from anchor.trust import MAX_TRUST_BYTES, Member, TrustError, fingerprint
from anchor.words import pick

# What the validators' signatures cover, once one believes who they were at first.
SIGNED: Final = (
    (
        "mọi lần đổi nút kiểm chứng từ khối đầu: hơn 2/3 của nhóm trước đã ký",
        "every change of validators since the first light block: more than 2/3 of those before have signed",
    ),
    (
        "hôm nay ai là thành viên, tên và trang của họ: mã băm nằm trong trạng thái mà hơn 2/3 đã ký, "
        "lệnh này đã đối chiếu (trong tệp không có bằng chứng đó)",
        "who is a member today, names and pages: their hashes lie in a state that more than 2/3 have "
        "signed; this command has compared them (the file holds no proof of it)",
    ),
)
UNSIGNED: Final = (
    (
        "khối đầu và nhóm nút kiểm chứng đầu tiên: so mã chuỗi với các thành viên khác, dấu vân tay với bản giấy",
        "the first light block and the first validators: compare the chain id with other members', "
        "the fingerprint with paper",
    ),
    (
        "tên nhật ký, và thành viên đã rời (giữ từ tệp cũ)",
        "names of logs, and former members (kept from an earlier file)",
    ),
    (
        "địa chỉ và mã hợp đồng: lấy từ chương trình này",
        "addresses and code of the contracts: they come from this program",
    ),
)


def export_trust(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Tệp ghi ra · The file to write", dir_okay=False)
    ],
    rpc: Annotated[
        str,
        typer.Option("--rpc", metavar="HOST:PORT", help="JSON-RPC của nút · The node's JSON-RPC"),
    ] = "127.0.0.1:8545",
    as_json: AsJson = False,
) -> None:
    """Làm tệp tin cậy từ nút của một thành viên bất kỳ · Make a trust file from any member's node.

    Tệp đã có thì được làm mới, giữ thành viên đã rời · A file that is there is renewed, and keeps who has left.
    """
    # The verifier's commands work without what talks to a chain.
    from anchor.chain import Reader
    from anchor.trustfile import make

    before = _before(output)
    chain = Reader(rpc if "://" in rpc else f"http://{rpc}")
    try:
        made = make(chain, before, None, time.sleep)
    finally:
        chain.close()
    if made.data != before:
        write_durably(output, made.data)
    answer: dict[str, Any] = {
        "file": str(output),
        "fingerprint": fingerprint(made.data),
        "cometbft_chain_id": made.trust.cometbft_chain_id,
        "evm_chain_id": made.trust.evm_chain_id,
        "eras": len(made.trust.eras),
        "members": [_shown(one) for one in made.trust.members],
        "gaps": list(made.gaps),
        "signed": [en for _, en in SIGNED],
        "unsigned": [en for _, en in UNSIGNED],
    }
    if as_json:
        print_json(answer)
    else:
        _print(answer)


def _before(output: Path) -> bytes | None:
    if not output.exists():
        return None
    with output.open("rb") as file:
        data = file.read(MAX_TRUST_BYTES + 1)
    if len(data) > MAX_TRUST_BYTES:
        raise TrustError(f"không phải tệp tin cậy · {output} is no trust file: choose another -o")
    return data


def _shown(one: Member) -> dict[str, Any]:
    return {
        "owner": f"0x{one.owner.hex()}",
        "name": one.name,
        "hosts": list(one.hosts),
        "log": one.log,
    }


def _print(answer: dict[str, Any]) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    say(pick("Đã ghi", "Written") + f": {answer['file']}")
    say(pick("Dấu vân tay", "Fingerprint") + f": {answer['fingerprint']}")
    say(pick("Chuỗi", "Chain") + f": {answer['cometbft_chain_id']} (EVM {answer['evm_chain_id']})")
    say(pick("Số lần đổi nút kiểm chứng", "Changes of validators") + f": {answer['eras']}")
    for one in answer["members"]:
        say(f"  {one['name']} ({', '.join(one['hosts']) or '–'}; {one['log']})")
    for gap in answer["gaps"]:
        say(f"! {gap}")
    for title, told in (
        (pick("Có chữ ký bảo đảm:", "Covered by signatures:"), SIGNED),
        (pick("Không có chữ ký nào bảo đảm:", "Covered by no signature:"), UNSIGNED),
    ):
        say(title)
        for vi, en in told:
            say(f"  · {pick(vi, en)}")
