# SPDX-License-Identifier: GPL-3.0-or-later
"""`moneo node …`: run a node, name it, check what it keeps; `node.governing` adds what is asked of a running one.

What the node itself needs is imported only where it is used, so that looking works in the base
install. Exit status 0: done; 1: the node failed while it ran; 2: it could not be done.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from node.errors import GenesisError, NodeError
from node.governing import DEFAULT_RPC

if TYPE_CHECKING:
    from node.abci import Peering

EXIT_FAILED: Final = 1
EXIT_COULD_NOT: Final = 2
_ENDPOINT: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:/]+)):([0-9]{1,5})", re.ASCII)
# A CometBFT node's id is its key's address.
_PEER: Final = re.compile(r"[0-9a-f]{40}@", re.ASCII)

app = typer.Typer(no_args_is_help=True, help="Nút kiểm chứng · The validator node.")

_Rpc = Annotated[
    str, typer.Option("--rpc", metavar="HOST:PORT", help="Địa chỉ JSON-RPC · JSON-RPC address.")
]
_Home = Annotated[
    Path, typer.Option("--home", help="Thư mục của nút · The node's own folder.", file_okay=False)
]


@app.command()
def run(
    home: _Home,
    rpc: _Rpc = DEFAULT_RPC,
    comet: Annotated[
        str | None,
        typer.Option(
            "--comet",
            metavar="HOST:PORT",
            help="Nhiều nút: CometBFT xếp thứ tự và nghe các nút khác ở đây · "
            "Many validators: CometBFT orders, and listens to its peers here.",
        ),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option("--peer", metavar="ID@HOST:PORT", help="Nút khác · Another validator's node."),
    ] = None,
) -> None:
    """Chạy nút cho đến Ctrl-C · Run the node until Ctrl-C or SIGTERM."""
    from node.run import StartError
    from node.run import run as run_node

    host, port = parse_endpoint(rpc)
    peering = _parse_peering(comet, peer or [])
    logging.basicConfig(level=logging.INFO, format="node: %(message)s")
    try:
        run_node(home, host, port, peering)
    except StartError as error:
        _fail(str(error), EXIT_COULD_NOT)
    except NodeError as error:
        _fail(str(error), EXIT_FAILED)


@app.command("id")
def node_id(home: _Home) -> None:
    """Mã của nút, để các nút khác gọi bằng --peer · The node's id, which others name in --peer."""
    from node.abci.home import node_id as read_id

    try:
        typer.echo(read_id(home))
    except GenesisError as error:
        _fail(str(error), EXIT_COULD_NOT)


@app.command()
def doctor(
    home: _Home,
    as_json: Annotated[bool, typer.Option("--json", help="Cho máy đọc · For machines.")] = False,
) -> None:
    """Kiểm nút, không sửa gì; chạy được cả khi nút đang chạy · Check the node, change nothing; also while it runs.

    0: tốt · all good, 1: hỏng · something is wrong, 2: chưa biết · could not tell.
    """
    from node.doctor import check

    findings = check(home).findings
    if as_json:
        typer.echo(json.dumps([each._asdict() for each in findings], ensure_ascii=False))
    else:
        for each in findings:
            typer.echo(f"{_MARKS[each.state]} {each.what}: {each.vi} · {each.en}")
    states = {each.state for each in findings}
    raise typer.Exit(
        EXIT_FAILED if "damaged" in states else EXIT_COULD_NOT if "unknown" in states else 0
    )


_MARKS: Final = {"good": "✓", "damaged": "✗", "unknown": "?"}


def parse_endpoint(text: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT, [IPV6]:PORT. Raises typer.BadParameter."""
    match = _ENDPOINT.fullmatch(text)
    if match is None or int(match[3]) > 65_535:
        raise typer.BadParameter(f"{text!r}: cần HOST:PORT · expected HOST:PORT")
    return match[1] or match[2], int(match[3])


def _parse_peering(comet: str | None, peers: list[str]) -> Peering | None:
    """Return where CometBFT listens and whom it calls; None without it. Raises typer.BadParameter."""
    if comet is None and not peers:
        return None
    if comet is None:
        raise typer.BadParameter("--peer cần --comet · --peer goes with --comet")
    from node.abci import Peering

    parse_endpoint(comet)
    for each in peers:
        if not _PEER.match(each):
            raise typer.BadParameter(f"{each!r}: cần ID@HOST:PORT · expected ID@HOST:PORT")
        parse_endpoint(each.partition("@")[2])
    return Peering(comet, tuple(peers))


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
