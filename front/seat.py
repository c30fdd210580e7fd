# SPDX-License-Identifier: GPL-3.0-or-later
"""A member's seat: what `moneo node propose, vote, hosts` have sent goes through the anchor process.

It alone uses the member's key. The commands are the node's (`node.governing`), which knows no anchor.
"""

from pathlib import Path
from typing import Any

from anchor.cli import errors
from anchor.epochs import newest_settings
from anchor.errors import AnchorError
from anchor.keys import load_member_key
from anchor.province import member_address
from anchor.settings import load
from anchor.wishes import WishRefused, carry
from anchor.words import pick
from front.provinces import keys_of
from node.errors import NodeError
from node.governing import Seat, SendRefused


def seat(data: Path) -> Seat:
    """Open a data folder as its member's seat. Raises AnchorError if it is none."""
    settings = load(data)

    def send(function: str, arguments: tuple[Any, ...]) -> int:
        try:
            with errors.status(pick("Chờ tiến trình neo gửi…", "Waiting for the anchor to send…")):
                return carry(settings, function, arguments)
        except WishRefused as error:
            raise SendRefused(str(error)) from error
        except AnchorError as error:
            raise NodeError(str(error)) from error

    account = member_address(load_member_key(settings.member_key))
    home, newest = settings.node_home, newest_settings(settings)
    return Seat(home, settings.rpc_url, account, send, lambda: keys_of(newest, home), newest.origin)
