# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose CometBFT may talk to ours: the members', and theirs who are about to join; and whom ours calls.

A node that is still executing old heights does not know yet who joined later. So a name that its
state has never seen is believed from a card or from the command line; one that was a member's and is
none any more is not, whatever a card says. Until there is the height that names the validators after
it, it is: that height is still its to sign, and where there are few there is none without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from node.application import era_key
from node.chain import Chain
from node.governance import is_used, read

if TYPE_CHECKING:
    from node.card import Card


class Peers:
    """Who may be a peer, by the newest state. Any thread may ask."""

    def __init__(
        self,
        chain: Chain,
        own: bytes,
        given: Sequence[str],
        cards: Callable[[], Iterable[Card]] = lambda: (),
    ) -> None:
        """`own` is this node's id (20 bytes), `given` are ID@HOST:PORT, `cards` reads the members'."""
        self._chain = chain
        self._own = own
        self._given = {bytes.fromhex(each.partition("@")[0]): each for each in given}
        self._cards = cards

    @property
    def turn(self) -> int:
        """This node's place among the members, from 0; the last where it is no member's."""
        ids = self._members()
        return ids.index(self._own) if self._own in ids else len(ids)

    def is_allowed(self, node_id: bytes) -> bool:
        """Return whether the node with this id is let in."""
        if node_id in self._members() or node_id in self._leaving():
            return True
        named = node_id in self._given or node_id in self._carded()
        return named and not is_used(self._chain.state_at(self._chain.head()), node_id)

    def addresses(self) -> tuple[str, ...]:
        """Return whom to call, as ID@HOST:PORT; what was given goes before what cards say."""
        known = {**self._carded(), **self._given}
        return tuple(
            address
            for each, address in known.items()
            if each != self._own and self.is_allowed(each)
        )

    def _members(self) -> list[bytes]:
        return [each.node_id for each in self._chain.consortium.members]

    def _leaving(self) -> list[bytes]:
        """Return the members of the era before, while the height that ends it is still to come."""
        decided = self._chain.consortium
        last = self._chain.get_extra(era_key(decided.era))
        if last is None or self._chain.height() >= int.from_bytes(last, "big"):
            return []
        before = read(self._chain.state_at(self._chain.header(decided.era_since - 1)))
        return [each.node_id for each in before.members]

    def _carded(self) -> dict[bytes, str]:
        return {
            each.member.node_id: f"{each.member.node_id.hex()}@{each.peer}"
            for each in self._cards()
        }
