# SPDX-License-Identifier: GPL-3.0-or-later
"""What the verifier found, as data for machines and as a few plain sentences for people.

A verdict says what is proven, by whom, by when and how surely, and what is not; docs/evidence.md
has the meaning of each word. Nothing in `records` comes from bytes that were not verified.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from anchor import wording

Assurance = Literal["past-era", "one-validator", "consortium"]
State = Literal["ok", "failed", "skipped"]
Kind = Literal["malformed", "too-large", "newer", "invalid", "untrusted", "mismatch"]
Statement = Literal["owner", "party", "third-party"]
Level = Literal["serial", "lot", "gtin", "own", "linked"]
Language = Literal["vi", "en"]

# From the weakest: a verdict over several records is as sure as the least sure of them.
ASSURANCES: Final[tuple[Assurance, ...]] = ("past-era", "one-validator", "consortium")

STEPS: Final = (
    "read",
    "record",
    "signature",
    "log",
    "state",
    "header",
    "finality",
    "code",
    "age",
)
"""Keys of the numbered steps of `anchor.verify`; number 0 is reading the file."""

NOT_PROVEN: Final = ("original", "true", "complete")
"""What no evidence proves: that the label is the original, that what it says is true, or complete."""


@dataclass(frozen=True)
class Step:
    """One numbered step: `ok`, `failed`, or `skipped` as one before it failed or nobody asked."""

    number: int
    key: str
    state: State
    detail: str = ""


@dataclass(frozen=True)
class Failure:
    """Why nothing is proven: the number of the step that fails, a kind, and a detail in English.

    Kinds: `malformed` and `too-large` (no evidence file of this format), `newer` (it needs a newer
    verifier), `invalid` (a proof is wrong), `untrusted` (nothing leads there from the trust file),
    `mismatch` (evidence of another code).
    """

    step: int
    kind: Kind
    detail: str


@dataclass(frozen=True)
class Note:
    """What a reader should know besides; of the record at index `record`, or of all if None.

    `days` is how many days it is about, where it is about days.
    """

    key: str
    record: int | None = None
    days: int | None = None


@dataclass(frozen=True)
class ProvenRecord:
    """One record whose every link holds. Times are POSIX seconds.

    `id` is the batch id and the index in the batch; `leaf` the leaf hash in hexadecimal digits.
    `fields` are those shown, `hidden` the names of the others. `issuer_name` and `province` are
    empty if neither registration nor trust file says them. `claimed` is when the issuer says it
    wrote the batch, `event_time` when the shown `eventTime` says it happened; only `when` is
    proven: no later than that. `statement` and `level` are None unless a code was expected.
    """

    id: str
    leaf: str
    type: str
    mode: str
    fields: Mapping[str, Any]
    hidden: tuple[str, ...]
    issuer: str
    issuer_name: str
    custody: str
    province: str
    log: str
    claimed: int
    event_time: int | None
    when: int
    assurance: Assurance
    validators: int
    statement: Statement | None = None
    level: Level | None = None
    superseded_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The outcome of `anchor.verify.verify`; `records` is empty unless `proven`.

    `fingerprint` is that of the trust file used, `expect_code` the canonical path asked for.
    """

    proven: bool
    assurance: Assurance | None
    steps: tuple[Step, ...]
    records: tuple[ProvenRecord, ...]
    fingerprint: str
    failure: Failure | None = None
    notes: tuple[Note, ...] = ()
    expect_code: str | None = None
    not_proven: tuple[str, ...] = field(default=NOT_PROVEN)

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as a value that JSON can hold, under the names of the attributes."""
        return asdict(self)

    def text(self, language: Language) -> str:
        """Return the verdict in Vietnamese or English; its first line says the most important."""
        return wording.render(self, language)
