# SPDX-License-Identifier: GPL-3.0-or-later
"""`moneo verify`: judge whatever an inspector has, one file or a truckload, and say what to do about it.

Exit status: 0 all proven, 1 something is not, 2 something could not be told (and nothing is false).
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from anchor import cli, gather
from anchor.cli import COULD_NOT_TELL, NOT_PROVEN, PROVEN, AsJson, console, errors, fail, print_json
from anchor.trust import MAX_TRUST_BYTES, Trust, TrustError, parse_trust
from anchor.verdict import Verdict
from anchor.verify import verify as verify_evidence
from anchor.wording import explain, moment, printable
from anchor.words import language, pick

MANY_FILES: Final = 50

# Why a file is not proven, as short as a column is wide; `anchor.wording` says it in full.
_KINDS: Final = {
    "malformed": ("không phải bằng chứng, hoặc hỏng", "no evidence, or damaged"),
    "too-large": ("quá lớn", "too large"),
    "newer": ("cần moneo mới hơn", "needs a newer moneo"),
    "invalid": ("một mắt xích sai", "a wrong link"),
    "untrusted": ("tệp tin cậy không dẫn đến", "trust does not lead there"),
    "mismatch": ("của mã khác", "of another code"),
}
# How sure a proven file is, in a word or two; notes that an inspector would not want to miss.
_SURE: Final = {
    "consortium": ("liên minh", "consortium"),
    "one-validator": ("chỉ một nút kiểm chứng", "one validator alone"),
    "past-era": ("nút kiểm chứng cũ", "former validators"),
}
_MARKS: Final = {
    "practice": ("có bản ghi tập", "holds practice"),
    "operator": ("tỉnh ghi thay", "written by the province"),
    "written-later": ("ghi muộn", "written later"),
    "claimed-after": ("giờ khai sai", "wrong claimed time"),
    "unknown-member": ("sổ của người lạ", "a stranger's log"),
    "superseded": ("có bản ghi đã thay thế", "holds superseded records"),
    "third-party": ("có lời của bên khác", "holds others' words"),
}


@dataclass(frozen=True)
class Judged:
    """An item and its verdict, or the sentence that says why there is none."""

    name: str
    verdict: Verdict | None
    problem: str = ""

    @property
    def status(self) -> int:
        """The exit status that this one alone would have."""
        verdict = self.verdict
        if verdict is None or (verdict.failure and verdict.failure.kind == "newer"):
            return COULD_NOT_TELL
        return PROVEN if verdict.proven else NOT_PROVEN


def verify(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="WHAT…",
            help="Tệp bằng chứng, ảnh nhãn, thư mục, '-' (đầu vào), địa chỉ hay mã · "
            "Evidence files, photographs of labels, folders, '-' (standard input), addresses or codes",
        ),
    ],
    trust: Annotated[
        Path | None,
        typer.Option(
            help="Tệp tin cậy thay cho tệp đã ghim · A trust file instead of the pinned one"
        ),
    ] = None,
    code: Annotated[
        str,
        typer.Option(
            help="Mã in trên nhãn · The code on the label: /01/…/10/…, (01)…(10)… or its link"
        ),
    ] = "",
    source: Annotated[
        str,
        typer.Option(
            "--from",
            help="Trang để tải bằng chứng thay cho trang của nhãn · The page to fetch from instead of the label's",
        ),
    ] = "",
    from_stranger: Annotated[
        bool,
        typer.Option(
            "--from-stranger",
            help="Tải cả từ máy chủ mà không thành viên nào đăng ký · Fetch from hosts that no member has registered too",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Kiểm tra bằng chứng: 0 đã chứng minh, 1 không, 2 không thể biết · Verify evidence, offline if it is in files."""
    trusts = _trusts(trust)
    pages = gather.Pages([one for _, one in trusts], strangers=from_stranger, source=source)
    items = gather.gather(what, pages)
    files = [data for data, _ in trusts]
    total = gather.count(what)
    with cli.progress_bar(quiet=as_json or total < MANY_FILES) as progress:
        tracked = progress.track(items, total=total, description=pick("Kiểm tra", "Verifying"))
        judged = [_judge(item, files, code) for item in tracked]
    if as_json:
        print_json([_to_json(one) for one in judged])
    elif len(judged) == 1:
        _show_one(judged[0])
    else:
        _show_many(judged)
    raise typer.Exit(_status(judged))


def _status(judged: Iterable[Judged]) -> int:
    statuses = {one.status for one in judged}
    # What is false is said even where something else could not be told.
    return next((one for one in (NOT_PROVEN, COULD_NOT_TELL) if one in statuses), PROVEN)


def _trusts(given: Path | None) -> list[tuple[bytes, Trust]]:
    """Return the trust files to verify from: the one given, else those pinned; never any other."""
    paths = [given] if given else sorted(cli.trust_folder().glob("*.json"))
    if not paths:
        fail(
            pick(
                "Chưa có tệp tin cậy: chạy 'moneo trust add <tệp>' sau khi so dấu vân tay, hoặc --trust.",
                "There is no trust file: run 'moneo trust add <file>' after comparing its fingerprint, or --trust.",
            )
        )
    found = []
    for path in paths:
        data = cli.bytes_of(path, MAX_TRUST_BYTES)
        try:
            found.append((data, parse_trust(data)))
        except TrustError as error:
            fail(f"{path}: {error}")
    return found


def _judge(item: gather.Item, trusts: Sequence[bytes], code: str) -> Judged:
    """Return the verdict under the pinned file that proves the evidence, else under the first."""
    if item.problem is not None:
        return Judged(item.name, None, pick(item.problem.vi, item.problem.en))
    now = int(time.time())
    first: Verdict | None = None
    for trust in trusts:
        verdict = verify_evidence(item.evidence, trust, expect_code=code or item.code, now=now)
        first = verdict if verdict.proven or first is None else first
        if verdict.proven:
            break
    return Judged(item.name, first)


def _to_json(one: Judged) -> dict[str, Any]:
    return {
        "file": one.name,
        **(one.verdict.to_json() if one.verdict else {"problem": one.problem}),
    }


def _show_one(one: Judged) -> None:
    if one.verdict is None:
        errors.print(one.problem, style="red", soft_wrap=True, markup=False)
        return
    head, _, rest = one.verdict.text(language()).partition("\n")
    console.print(head, style=f"bold {_style(one)}", soft_wrap=True, markup=False)
    console.print(rest, soft_wrap=True, markup=False)


def _style(one: Judged) -> str:
    return ("green", "red", "yellow")[one.status]


def _show_many(judged: Sequence[Judged]) -> None:
    """Show what failed first and why, then what could not be told, then what is proven, and the counts."""
    order = (NOT_PROVEN, COULD_NOT_TELL, PROVEN)
    table = Table(
        pick("Tệp", "File"),
        pick("Kết luận", "Verdict"),
        pick("Bản ghi", "Records"),
        pick("Vì sao", "Why"),
    )
    table.columns[0].overflow = table.columns[3].overflow = "fold"
    for one in sorted(judged, key=lambda one: order.index(one.status)):
        words = (
            one.name,
            _word(one),
            str(len(one.verdict.records)) if one.verdict else "",
            _why(one),
        )
        table.add_row(
            *(_plain(word) for word in words), style=None if one.status == PROVEN else _style(one)
        )
    console.print(table)
    kinds = Counter(
        one.verdict.failure.kind for one in judged if one.verdict and one.verdict.failure
    )
    for kind, many in kinds.most_common():
        means, advice = explain(kind, language())
        short = pick(*_KINDS[kind])
        console.print(f"{many} × {short}: {means}. {advice}", soft_wrap=True, markup=False)
    counts = Counter(one.status for one in judged)
    console.print(
        pick(
            f"{counts[PROVEN]}/{len(judged)} được chứng minh, {counts[NOT_PROVEN]} không, {counts[COULD_NOT_TELL]} chưa biết",
            f"{counts[PROVEN]} of {len(judged)} are proven, {counts[NOT_PROVEN]} are not, {counts[COULD_NOT_TELL]} could not be told",
        ),
        style="bold",
        soft_wrap=True,
    )


def _word(one: Judged) -> str:
    return (
        pick("đã chứng minh", "proven"),
        pick("KHÔNG chứng minh được", "NOT proven"),
        pick("chưa biết", "could not tell"),
    )[one.status]


def _why(one: Judged) -> str:
    verdict = one.verdict
    if verdict is None:
        return one.problem
    if verdict.failure:
        step = pick(f"bước {verdict.failure.step}", f"step {verdict.failure.step}")
        return f"{pick(*_KINDS[verdict.failure.kind])} ({step})"
    marks = [note.key for note in verdict.notes]
    marks += ["superseded" for record in verdict.records if record.superseded_by]
    marks += [record.statement for record in verdict.records if record.statement]
    said = [_SURE[verdict.assurance]] if verdict.assurance else []
    said += [_MARKS[mark] for mark in dict.fromkeys(marks) if mark in _MARKS]
    when = moment(max(record.when for record in verdict.records), language(), up=True)
    return "; ".join([when, *(pick(*words) for words in said)])


def _plain(text: str) -> str:
    return escape(printable(text))
