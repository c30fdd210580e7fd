# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the records of a trace code, and walks a journey from a code back to where it came from.

The anchor keeps batches, never a row a record; which record speaks of which code is this module's own
file beside the database, so that filling it keeps no batch waiting. It is filled after a batch was
acknowledged, from the batches themselves, and can be thrown away and built again: it decides nothing,
since whatever is found is proven by its evidence.

Several processes may fill it at once: each takes its turn in the file, and goes on from the newest batch
in it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any

import sqlalchemy as sa

from anchor.codes import Code, CodeError, from_digital_link
from anchor.province import Province
from anchor.record import Record, named_codes
from anchor.settings import SQLITE
from anchor.statements import INPUTS, OUTPUTS, TRANSFORMATION, Spoken, classify
from anchor.store import StoredBatch, open_engine, writing
from anchor.verdict import Level, Statement
from api.tables import create_tables

MAX_JOURNEY_RECORDS = 1_000
MAX_DEPTH = 16
BATCHES_A_STEP = 16
# Beside the database, and in no backup.
FILE = "index.db"
FIRST = datetime.min.replace(tzinfo=UTC)

Hide = Callable[[str, str], bool]
"""Issuer name and field name → whether the reader may not see that field."""
Ref = tuple[str, int]
"""Batch id and index in it, as `Province.evidence` takes them."""

metadata = sa.MetaData()
batch_table = sa.Table(
    "code_index_batch",
    metadata,
    sa.Column("row", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("batch", sa.String(43), nullable=False, unique=True),
    sa.Column("issuer", sa.String(256), nullable=False),
)
code_table = sa.Table(
    "code_index",
    metadata,
    sa.Column("code", sa.LargeBinary(32), primary_key=True),
    sa.Column("row", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("record", sa.Integer, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)


@dataclass(frozen=True)
class Found:
    """One record of a journey.

    Attributes:
        batch, index: where it is.
        record: with what the reader may see.
        issuer: the issuer name that signed it.
        code: the code it was found for: the one asked for, or the one upstream.
        depth: 0 for the code asked for, then one more for every transformation back.
        level: how it belongs to the code asked for: serial, lot, gtin, own or linked.
        statement: whose word it is, by the verifier's own rules: owner, party or third-party.
        superseded: whether its own issuer supersedes it by another record of the journey.
    """

    batch: str
    index: int
    record: Record
    issuer: str
    code: Code
    depth: int
    level: Level
    statement: Statement
    superseded: bool

    @property
    def ref(self) -> Ref:
        """Where it is."""
        return self.batch, self.index

    @property
    def id(self) -> str:
        """The record's id in addresses: `<batch>.<index>`."""
        return f"{self.batch}.{self.index}"


@dataclass(frozen=True)
class Journey:
    """All that is found for a code, in the order of event time; `cut` if a bound left records out."""

    code: Code
    found: tuple[Found, ...]
    cut: bool


class CodeIndex:
    """Trace code → records, over the batches of one province. Safe for threads and processes."""

    def __init__(self, province: Province) -> None:
        self._province = province
        self._engine = open_engine(
            f"{SQLITE}{province.settings.data.absolute() / FILE}", durable=False
        )
        create_tables(self._engine, metadata)
        if not self._is_of_this_database():
            self._clear()

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def catch_up(self) -> int:
        """Index every batch accepted since the last time; returns how many this call indexed."""
        done = 0
        while (step := self._step()) == BATCHES_A_STEP:
            done += step
        return done + step

    def rebuild(self) -> int:
        """Throw the index away and build it from the batches; returns how many there are."""
        self._clear()
        return self.catch_up()

    def refs(self, code: Code, limit: int = MAX_JOURNEY_RECORDS + 1) -> list[tuple[Ref, str]]:
        """Return up to `limit` records whose `code` lines name exactly this code, oldest first.

        Each with the name of the issuer that signed its batch.
        """
        query = (
            sa.select(batch_table.c.batch, code_table.c.record, batch_table.c.issuer)
            .join(batch_table, batch_table.c.row == code_table.c.row)
            .where(code_table.c.code == code.hash())
            .order_by(code_table.c.row, code_table.c.record)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query)
            return [((row.batch, row.record), row.issuer) for row in rows]

    def journey(self, code: Code, hide: Hide) -> Journey:
        """Return the records of a code and, through transformations, of what it was made from.

        Only what `hide` leaves visible is walked and returned, so that a reader learns nothing from
        the selection, and so that a verifier reaches every record by what the reader is shown.
        Bounded by MAX_JOURNEY_RECORDS and MAX_DEPTH; empty if the province has no record of it.
        """
        return _Walk(self._province, self, hide).run(code)

    def _is_of_this_database(self) -> bool:
        """Whether the newest batch indexed is where it was: the database may be another, or an older copy."""
        newest = sa.select(batch_table.c.row, batch_table.c.batch).order_by(
            batch_table.c.row.desc()
        )
        with self._engine.connect() as connection:
            indexed = connection.execute(newest.limit(1)).first()
        if indexed is None:
            return True
        stored = self._province.batches_after(indexed.row - 1, 1)
        return [(batch.row, batch.batch) for batch in stored] == [tuple(indexed)]

    def _clear(self) -> None:
        with writing(self._engine) as connection:
            connection.execute(sa.delete(code_table))
            connection.execute(sa.delete(batch_table))

    def _step(self) -> int:
        with writing(self._engine) as connection:
            newest = connection.execute(sa.select(sa.func.max(batch_table.c.row))).scalar_one()
            batches = self._province.batches_after(newest or 0, BATCHES_A_STEP)
            names = [{"row": b.row, "batch": b.batch, "issuer": b.issuer} for b in batches]
            # In the order of the table, which is stored by code.
            lines = sorted(line for stored in batches for line in _lines(stored))
            if names:
                connection.execute(sa.insert(batch_table), names)
            if lines:
                connection.exec_driver_sql("INSERT INTO code_index VALUES (?, ?, ?)", lines)
        return len(batches)


def _lines(stored: StoredBatch) -> Iterator[tuple[bytes, int, int]]:
    for number, text in enumerate(stored.packed.texts()):
        for code in named_codes(text):
            yield code, stored.row, number


@dataclass(frozen=True)
class _Seen:
    """A record that the walk came by: what the reader sees of it, and where the walk stood."""

    record: Record
    issuer: str
    code: Code
    depth: int


class _Walk:
    """One walk through the index; keeps what it has seen, so that a cycle of lots ends."""

    def __init__(self, province: Province, index: CodeIndex, hide: Hide) -> None:
        self._province = province
        self._index = index
        self._hide = hide
        self._prefixes: dict[str, tuple[str, ...]] = {}
        self._seen: dict[Ref, _Seen] = {}
        self._cut = False

    def run(self, code: Code) -> Journey:
        asked: set[Code] = {code}
        frontier = self._take_own(code)
        for depth in range(1, MAX_DEPTH + 1):
            frontier -= asked
            asked |= frontier
            if not frontier or self._cut:
                break
            frontier = {up for c in sorted(frontier) for up in self._take_upstream(c, depth)}
        self._cut = self._cut or bool(frontier - asked)
        return Journey(code, tuple(sorted(self._classified(code), key=_order)), self._cut)

    def _take_own(self, code: Code) -> set[Code]:
        upstream: set[Code] = set()
        for level, wider in code.levels():
            for ref, issuer, record in self._records(wider):
                if level == "gtin" and wider != code and _speaks_of_others(record):
                    continue
                upstream |= self._take(ref, _Seen(record, issuer, code, 0), wider)
        return upstream

    def _take_upstream(self, code: Code, depth: int) -> set[Code]:
        upstream: set[Code] = set()
        for ref, issuer, record in self._records(code):
            # Where the rest of an earlier lot went is another lot's journey.
            if record.type == TRANSFORMATION and code not in _codes(record, OUTPUTS):
                continue
            upstream |= self._take(ref, _Seen(record, issuer, code, depth), code)
        return upstream

    def _take(self, ref: Ref, seen: _Seen, made: Code) -> set[Code]:
        """Keep a record; return what `made` was made from, if its owner says so here."""
        self._seen[ref] = seen
        outputs = _codes(seen.record, OUTPUTS)
        owns = seen.code.path.startswith(self._prefixes_of(seen.issuer))
        if seen.record.type != TRANSFORMATION or made not in outputs or not owns:
            return set()
        return _codes(seen.record, INPUTS) - outputs

    def _records(self, code: Code) -> Iterator[tuple[Ref, str, Record]]:
        fresh = [(ref, issuer) for ref, issuer in self._index.refs(code) if ref not in self._seen]
        room = MAX_JOURNEY_RECORDS - len(self._seen)
        self._cut = self._cut or len(fresh) > room
        by_batch: dict[tuple[str, str], list[int]] = {}
        for (batch, index), issuer in fresh[:room]:
            by_batch.setdefault((batch, issuer), []).append(index)
        for (batch, issuer), indices in by_batch.items():
            for index, record in zip(indices, self._province.pick(batch, indices), strict=True):
                yield (batch, index), issuer, self._visible(issuer, record)

    def _visible(self, issuer: str, record: Record) -> Record:
        return record.hide([name for name in record.fields() if self._hide(issuer, name)])

    def _prefixes_of(self, issuer: str) -> tuple[str, ...]:
        if issuer not in self._prefixes:
            known = self._province.issuer(issuer)
            self._prefixes[issuer] = tuple(known.prefixes) if known else ()
        return self._prefixes[issuer]

    def _classified(self, code: Code) -> Iterator[Found]:
        superseded = self._superseded()
        spoken = [
            Spoken(
                seen.record.type,
                seen.record.mode == "live",
                ref in superseded,
                frozenset(seen.record.codes),
                seen.record.fields(),
                seen.issuer,
                self._prefixes_of(seen.issuer),
            )
            for ref, seen in self._seen.items()
        ]
        for (ref, seen), its in zip(self._seen.items(), classify(code, spoken), strict=True):
            # What no verifier would count as the code's is left out rather than explained.
            if its is not None:
                yield Found(
                    *ref, seen.record, seen.issuer, seen.code, seen.depth,
                    its.level, its.statement, ref in superseded,
                )  # fmt: skip

    def _superseded(self) -> set[Ref]:
        """Return the records that their own issuer supersedes; practice supersedes nothing live."""
        by = {
            (seen.issuer, leaf, mode)
            for seen in self._seen.values()
            for leaf in seen.record.re
            for mode in {seen.record.mode, "practice"}
        }
        return {
            ref
            for ref, seen in self._seen.items()
            if (seen.issuer, seen.record.leaf_hash(), seen.record.mode) in by
        }


def _speaks_of_others(record: Record) -> bool:
    # An event that names a GTIN and lots of it is those lots' event, not every lot's.
    return record.type.startswith("epcis.") and len(record.codes) > 1


def _codes(record: Record, lists: Sequence[str]) -> set[Code]:
    """Return the codes that shown EPCIS members name and that the record's `code` lines bear out."""
    fields = record.fields()
    named = (code for name in lists for code in _named(fields, name))
    return {code for code in named if code.hash() in record.codes}


def _named(fields: Mapping[str, Any], name: str) -> Iterator[Code]:
    items = fields.get(name)
    for item in items if isinstance(items, list) else ():
        uri = item.get("epcClass") if isinstance(item, dict) else item
        if isinstance(uri, str):
            try:
                yield from_digital_link(uri)
            except CodeError:
                continue


def event_time(fields: Mapping[str, Any]) -> datetime | None:
    """Return when an event says it happened (EPCIS eventTime, with an offset), or None."""
    value = fields.get("eventTime")
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # The first and the last year there are can't be shown in every zone.
    shown = moment is not None and moment.tzinfo and MINYEAR < moment.year < MAXYEAR
    return moment if shown else None


def _order(found: Found) -> tuple[datetime, int, str, int]:
    # Records without a time are about the thing itself and come first. At the same moment what
    # lies further back comes before what was made from it.
    moment = event_time(found.record.fields()) or FIRST
    return (moment, -found.depth, found.batch, found.index)
