# SPDX-License-Identifier: GPL-3.0-or-later
"""Which earlier records a new one takes the place of, as a diary or an event names them.

Nothing in the log is changed: a record is corrected or voided by a new one with a `re` line for it
(PROTOCOL §1). Whoever writes a diary names the earlier record by its id `<batch>.<index>`, by the
address of its evidence, or by its leaf hash in base64url. An id is looked up among the writer's own
records: to supersede anybody else's has no effect, so that it can only be a mistake.
"""

import re
from collections.abc import Callable, Sequence

from anchor.ijson import parse_b64url
from anchor.record import MAX_RE

HASH_BYTES = 32
# Records looked up for one diary: as many as an upload has rows.
MAX_LOOKUPS = 5_000
_NAME = re.compile(
    r"(?:\S*/v1/records/)?([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])(?:\.(0|[1-9][0-9]{0,8}))?"
    r"(?:/evidence)?(?:\?\S*)?",
    re.ASCII,
)


class CorrectionError(ValueError):
    """What should name an earlier record and doesn't; `vi` and `en` say why."""

    def __init__(self, vi: str, en: str) -> None:
        self.vi = vi
        self.en = en
        super().__init__(f"{vi} · {en}")


def of_closed_log(batch: str) -> CorrectionError:
    """What is wrong with naming a record of a log that another has followed: its writer had another name."""
    return CorrectionError(
        f"bản ghi của lô {batch} ở trong nhật ký đã đóng nên không thay thế được: hãy ghi mới cho đầy đủ, bản ghi cũ "
        "vẫn hiện bên cạnh",
        f"the records of batch {batch} are in a closed log, and nothing takes their place any more: write anew "
        "what is right; the old record stays beside it",
    )


class Finder:
    """Looks up leaf hashes of the writer's own records, a bounded number, each once."""

    def __init__(self, leaves: Callable[[str], bytes | None]) -> None:
        """`leaves` tells the leaf hashes, one after another, of an own batch by its id; may raise CorrectionError."""
        self._leaves = leaves
        self._found: dict[tuple[str, int], bytes] = {}
        self._last: tuple[str, bytes | None] = "", None

    def find(self, batch: str, index: int) -> bytes:
        """Return the leaf hash of a record. Raises CorrectionError."""
        if (batch, index) not in self._found:
            self._found[batch, index] = self._look_up(batch, index)
        return self._found[batch, index]

    def _look_up(self, batch: str, index: int) -> bytes:
        if len(self._found) >= MAX_LOOKUPS:
            raise CorrectionError(
                f"một lần gửi chỉ được sửa {MAX_LOOKUPS} bản ghi: hãy chia ra",
                f"at most {MAX_LOOKUPS} records are corrected at a time: split it",
            )
        if self._last[0] != batch:
            self._last = batch, self._leaves(batch)
        leaves = self._last[1] or b""
        leaf = leaves[index * HASH_BYTES : (index + 1) * HASH_BYTES]
        if not leaf:
            raise CorrectionError(
                f"không có bản ghi {batch}.{index} của chính tổ chức này",
                f"there is no record {batch}.{index} of this organisation's own",
            )
        return leaf


def superseded(names: Sequence[object], finder: Finder | None) -> tuple[bytes, ...]:
    """Return the leaf hashes of the records that are named, each once.

    Raises:
        CorrectionError: one that is no name of a record, or too many of them.
    """
    if len(names) > MAX_RE:
        raise CorrectionError(
            f"một bản ghi sửa nhiều nhất {MAX_RE} bản ghi trước",
            f"a record takes the place of at most {MAX_RE} earlier ones",
        )
    return tuple(dict.fromkeys(_leaf(name, finder) for name in names))


def _leaf(name: object, finder: Finder | None) -> bytes:
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise CorrectionError(
            f"“{str(name)[:64]}” không phải mã bản ghi: chép địa chỉ bằng chứng của bản ghi cần sửa từ "
            "trang của nó (…/v1/records/…/evidence)",
            f"“{str(name)[:64]}” names no record: copy the address of the earlier record's evidence "
            "from its page (…/v1/records/…/evidence)",
        )
    text, index = match.groups()
    if index is None:
        return parse_b64url(text, HASH_BYTES)
    if finder is None:
        raise CorrectionError(
            f"ở đây không tra được bản ghi {text}.{index}: hãy ghi hàm băm lá của nó",
            f"record {text}.{index} cannot be looked up here: write its leaf hash",
        )
    return finder.find(text, int(index))
