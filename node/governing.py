# SPDX-License-Identifier: GPL-3.0-or-later
"""`moneo node status | peers | proposals | propose | vote | hosts | keep`: looking, and deciding with the others.

What is sent with the member's key is sent by its anchor process; `Seat` is all that is known of it
here. Exit status 0: done; 1: the chain refuses it, or the node is not healthy; 2: it could not be done.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

import typer

from node.errors import NodeError

if TYPE_CHECKING:
    from node.card import Card, Keys
    from node.overview import Rpc
    from node.proposals import Change

EXIT_REFUSED: Final = 1
EXIT_UNHEALTHY: Final = 1
EXIT_COULD_NOT: Final = 2
_Found = TypeVar("_Found")
DEFAULT_RPC: Final = "127.0.0.1:8545"


class SendRefused(NodeError):  # noqa: N818 - a verdict, said as one
    """The chain refuses a call; the text has the contract's reason."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A member as its data folder knows it: its node, its account, and its way to the chain.

    `send` has a function of Consortium called with the member's key and returns the EVM block of it;
    it raises SendRefused or another NodeError. `keys` are the four that sign a card, `log` the origin that
    the log's key is of; empty: the card's own.
    """

    home: Path
    rpc: str
    account: bytes
    send: Callable[[str, tuple[Any, ...]], int]
    keys: Callable[[], Keys]
    log: str = ""


Asked = Annotated[
    str | None,
    typer.Option(
        "--rpc",
        metavar="HOST:PORT",
        envvar="MONEO_RPC",
        help="Địa chỉ JSON-RPC, nếu không phải nút của --data · JSON-RPC, if not of the node of --data.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Cho máy đọc · For machines.")]
_Data = Annotated[
    Path, typer.Option("--data", envvar="MONEO_DATA", help="Thư mục dữ liệu · The data folder.")
]
_CardFile = Annotated[
    Path, typer.Argument(metavar="CARD", help="Phiếu thành viên · A member's card.")
]


def add_to(app: typer.Typer, seat: Callable[[Path], Seat], rpc_of: Callable[[Path], str]) -> None:
    """Add the commands to `moneo node`; `seat` opens a data folder, `rpc_of` says where its node is."""
    app.add_typer(_proposing(seat), name="propose")
    _add_looking(app, rpc_of)
    _add_deciding(app, seat)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what stands in the way into one sentence and an exit status."""
    try:
        yield
    except NodeError as error:
        typer.echo(str(error), err=True)
        code = EXIT_REFUSED if isinstance(error, SendRefused) else EXIT_COULD_NOT
        raise typer.Exit(code) from error


def _add_looking(app: typer.Typer, rpc_of: Callable[[Path], str]) -> None:
    def asked(rpc: str | None, data: Path) -> Rpc:
        from node.overview import Rpc

        return Rpc(rpc or rpc_of(data))

    @app.command("status")
    def status(rpc: Asked = None, data: _Data = Path("var"), as_json: AsJson = False) -> None:
        """Nút và chuỗi thế nào, trong một màn hình · How the node and its chain do, in one screen.

        0: tốt · healthy, 1: có việc phải làm · something is to be done, 2: chưa biết · could not tell.
        """
        from node import overview

        with refusals():
            found = overview.status(asked(rpc, data))
        _tell(found, overview.status_lines, as_json)
        raise typer.Exit(0 if found["healthy"] else EXIT_UNHEALTHY)

    @app.command("peers")
    def peers(rpc: Asked = None, data: _Data = Path("var"), as_json: AsJson = False) -> None:
        """Nút của các thành viên khác, có nối được không · The other members' nodes, connected or not."""
        from node import overview

        with refusals():
            found = overview.peers(asked(rpc, data))
        _tell(found, overview.peer_lines, as_json)

    @app.command("proposals")
    def proposals(
        number: Annotated[int | None, typer.Argument(metavar="[NUMBER]")] = None,
        rpc: Asked = None,
        data: _Data = Path("var"),
        as_json: AsJson = False,
    ) -> None:
        """Mọi đề xuất và phiếu · Every proposal: who proposed, who voted how, what it still needs."""
        from node import proposals as history

        with refusals():
            found = history.told(asked(rpc, data), number)
        _show(found, as_json)


def _tell(found: _Found, lines: Callable[[_Found], Sequence[str]], as_json: bool) -> None:
    text = json.dumps(found, ensure_ascii=False) if as_json else "\n".join(lines(found))
    typer.echo(text)


def _proposing(seat: Callable[[Path], Seat]) -> typer.Typer:
    app = typer.Typer(
        no_args_is_help=True,
        help="Đề xuất một thay đổi, cũng là phiếu thuận của mình · Propose a change, and vote for it.",
    )

    @app.command("admit")
    def admit(card: _CardFile, data: _Data = Path("var"), as_json: AsJson = False) -> None:
        """Kết nạp một tỉnh theo phiếu của họ · Admit a province by its card."""
        from node.card import keep_card
        from node.proposals import admission

        with refusals():
            here, rpc = _open(seat, data)
            candidate, change = admission(card, _chain_id(rpc))
            # Kept before it is sent: once admitted the candidate's node may come at once.
            keep_card(here.home, candidate)
            number = _propose(here, rpc, change)
        _show_one(rpc, number, as_json)

    @app.command("remove")
    def remove(
        member: Annotated[str, typer.Argument(metavar="ACCOUNT|NAME")],
        data: _Data = Path("var"),
        as_json: AsJson = False,
    ) -> None:
        """Loại một thành viên · Remove a member."""
        from node.proposals import Change, account_of, known_members

        with refusals():
            here, rpc = _open(seat, data)
            account = account_of(member, known_members(rpc))
            number = _propose(here, rpc, Change("remove", {"account": account}))
        _show_one(rpc, number, as_json)

    @app.command("change-key")
    def change_key(data: _Data = Path("var"), as_json: AsJson = False) -> None:
        """Đổi khóa nút kiểm chứng của mình · Change one's own validator key."""
        from node.governance import key_proof
        from node.newkey import next_key
        from node.proposals import Change

        with refusals():
            here, rpc = _open(seat, data)
            key = next_key(here.home)
            values = {
                "account": here.account,
                "validator_key": key.public_key().public_bytes_raw(),
            }
            proof = key_proof(_chain_id(rpc), here.account, key)
            number = _propose(here, rpc, Change("change-key", values, proof))
        _show_one(rpc, number, as_json)
        if not as_json:
            typer.echo(_NEW_KEY)

    @app.command("list")
    def list_contract(
        contract: Annotated[
            str, typer.Argument(metavar="CONTRACT", help="Tên hay 0x… · Name or 0x….")
        ],
        no: Annotated[bool, typer.Option("--not", help="Thôi cho gọi · Not any more.")] = False,
        data: _Data = Path("var"),
        as_json: AsJson = False,
    ) -> None:
        """Cho gọi một hợp đồng, hoặc thôi · Let transactions call a contract, or not any more."""
        from node.proposals import Change, contract_of

        with refusals():
            here, rpc = _open(seat, data)
            values = {"target": contract_of(contract), "listed": not no}
            number = _propose(here, rpc, Change("list", values))
        _show_one(rpc, number, as_json)

    @app.command("gas-limit")
    def gas_limit(
        limit: Annotated[int, typer.Argument(metavar="N", min=0)],
        data: _Data = Path("var"),
        as_json: AsJson = False,
    ) -> None:
        """Đổi giới hạn gas của khối · Change a block's gas limit."""
        from node.proposals import Change

        with refusals():
            here, rpc = _open(seat, data)
            number = _propose(here, rpc, Change("gas-limit", {"gas_limit": limit}))
        _show_one(rpc, number, as_json)

    @app.command("retire")
    def retire(
        origin: Annotated[
            str, typer.Argument(metavar="ORIGIN", help="Tên nhật ký · The log's name.")
        ],
        successor: Annotated[str | None, typer.Argument(metavar="[SUCCESSOR]")] = None,
        data: _Data = Path("var"),
        as_json: AsJson = False,
    ) -> None:
        """Cho nghỉ một nhật ký, và chỉ sang nhật ký nối tiếp · Retire a log, naming its successor."""
        from node.proposals import Change, origin_of

        with refusals():
            here, rpc = _open(seat, data)
            following = origin_of(successor) if successor else bytes(32)
            values = {"origin": origin_of(origin), "successor": following}
            number = _propose(here, rpc, Change("retire", values))
        _show_one(rpc, number, as_json)

    @app.command("upgrade")
    def upgrade(
        height: Annotated[int | None, typer.Argument(metavar="[HEIGHT]", min=1)] = None,
        plan: Annotated[Path | None, typer.Argument(metavar="[PLAN-FILE]")] = None,
        none: Annotated[bool, typer.Option("--none", help="Rút lại · Take it back.")] = False,
        data: _Data = Path("var"),
        as_json: AsJson = False,
    ) -> None:
        """Từ độ cao nào cần chương trình nào · From which height on another program is needed."""
        from node.proposals import Change, plan_of

        if none == (height is not None) or (height is None) != (plan is None):
            raise typer.BadParameter("HEIGHT PLAN-FILE, hoặc · or --none")
        with refusals():
            here, rpc = _open(seat, data)
            values = {"height": height or 0, "plan": plan_of(plan) if plan else bytes(32)}
            number = _propose(here, rpc, Change("upgrade", values))
        _show_one(rpc, number, as_json)

    return app


def _add_deciding(app: typer.Typer, seat: Callable[[Path], Seat]) -> None:
    @app.command("vote")
    def vote(
        number: Annotated[int, typer.Argument(metavar="NUMBER", min=1)],
        answer: Annotated[Literal["yes", "no"], typer.Argument(metavar="yes|no")],
        card: Annotated[
            Path | None,
            typer.Option(help="Phiếu của tỉnh xin kết nạp · The card of who is to be admitted."),
        ] = None,
        data: _Data = Path("var"),
        as_json: AsJson = False,
    ) -> None:
        """Bỏ phiếu; kết nạp cần phiếu thành viên · Vote; an admission needs the candidate's card."""
        with refusals():
            here, rpc = _open(seat, data)
            _vote(here, rpc, number, answer == "yes", card)
        _show_one(rpc, number, as_json)

    @app.command("hosts")
    def hosts(
        peer: Annotated[
            str,
            typer.Option(
                metavar="HOST:PORT", help="Nơi nút khác gọi · Where others reach the node."
            ),
        ],
        output: Annotated[
            Path,
            typer.Option(
                "--output", "-o", help="Phiếu mới, gửi các tỉnh · The new card, for the others."
            ),
        ],
        page: Annotated[
            list[str] | None,
            typer.Option(metavar="HOST", help="Trang web · Pages; as before if not given."),
        ] = None,
        data: _Data = Path("var"),
        as_json: AsJson = False,
    ) -> None:
        """Đổi địa chỉ của mình, không cần bỏ phiếu · Change one's own hosts, without a vote."""
        with refusals():
            here, rpc = _open(seat, data)
            card = _change_hosts(here, rpc, peer, page)
            output.write_bytes(card.raw)
        if as_json:
            typer.echo(json.dumps({"card": str(output), "peer": card.peer, "pages": card.pages}))
        else:
            typer.echo(
                f"Đã đổi trên chuỗi. Gửi {output} cho các tỉnh; họ chạy: moneo node keep {output.name} · "
                f"Changed on the chain. Send {output} to the others, who run: moneo node keep {output.name}"
            )

    @app.command("keep")
    def keep(card: _CardFile, data: _Data = Path("var"), as_json: AsJson = False) -> None:
        """Giữ phiếu mới của một thành viên, khớp với chuỗi · Keep a member's new card, as the chain has it."""
        from node.card import file_bytes, keep_card, parse_card
        from node.proposals import check_kept

        with refusals():
            here, rpc = _open(seat, data)
            found = parse_card(file_bytes(card), card.name)
            check_kept(rpc, found)
            keep_card(here.home, found)
        if as_json:
            typer.echo(json.dumps({"account": "0x" + found.member.account.hex()}))
        else:
            typer.echo(f"{found.name}: đã giữ phiếu · its card is kept ({found.peer})")


_NEW_KEY: Final = (
    "Khi đề xuất này được chấp thuận, nút tự thay khóa cũ bằng khóa mới; nút đang tắt thì thay khi khởi "
    "động. Đừng xóa gì trong thư mục của nút. · Once this is accepted, the node puts the new key in the "
    "old one's place by itself; one that is off does so when it starts. Delete nothing in its folder."
)


def _open(seat: Callable[[Path], Seat], data: Path) -> tuple[Seat, Rpc]:
    from node.overview import Rpc

    here = seat(data)
    return here, Rpc(here.rpc)


def _chain_id(rpc: Rpc) -> int:
    from node.overview import quantity

    return quantity(rpc, "eth_chainId")


def _propose(here: Seat, rpc: Rpc, change: Change) -> int:
    """Propose a change and return its number. Raises NodeError."""
    from node.proposals import ProposalError, proposed_in

    try:
        arguments = change.arguments
    except ValueError as error:
        raise ProposalError(f"không đề xuất được · this cannot be proposed: {error}") from error
    change.check(_chain_id(rpc))
    return proposed_in(rpc, here.account, change, here.send("propose", arguments))


def _vote(here: Seat, rpc: Rpc, number: int, approve: bool, card: Path | None) -> None:
    import contracts
    from node.card import CARDS, keep_card
    from node.proposals import Change, every, one, same_card

    proposal = one(every(rpc), number)
    if proposal.kind == "admit" and approve:
        kept = here.home / CARDS / f"{proposal.values['account'].hex()}.json"
        # Kept before the vote: with the last one the candidate's node may come at once.
        keep_card(here.home, same_card(card or kept, proposal, _chain_id(rpc)))
    else:
        Change(proposal.kind, proposal.values, proposal.proof).check(_chain_id(rpc))
    payload = contracts.encode_payload(proposal.kind, **proposal.values)
    here.send("vote", (number, approve, contracts.kind_number(proposal.kind), payload))


def _change_hosts(here: Seat, rpc: Rpc, peer: str, pages: list[str] | None) -> Card:
    from node.card import cards, keep_card, make_card
    from node.proposals import ProposalError

    before = next((each for each in cards(here.home) if each.member.account == here.account), None)
    if before is None:
        raise ProposalError("không có phiếu của chính mình · this province's own card is not here")
    kept = before.pages if pages is None else pages
    log = here.log or before.log
    card = make_card(before.name, kept, peer, log, here.keys(), _chain_id(rpc), before)
    here.send("change_hosts", (card.member.node_id, card.member.hosts))
    keep_card(here.home, card)
    return card


def _show_one(rpc: Rpc, number: int, as_json: bool) -> None:
    from node import proposals as history

    with refusals():
        (found,) = history.told(rpc, number)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        _show([found], as_json)


def _show(found: list[dict[str, Any]], as_json: bool) -> None:
    from node.proposals import lines

    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    for each in found:
        for line in lines(each):
            typer.echo(line)
    if not found:
        typer.echo("Chưa có đề xuất nào · There is no proposal yet")
