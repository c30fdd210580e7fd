# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of a business and of anyone who checks: key, batch, evidence, trust; `verify` is in `anchor.checking`.

They need the base install only. Exit status: 0 proven or done, 1 not proven or refused, 2 could not
tell (usage, missing file, no trust, no answer).
"""

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from anchor import outbox
from anchor.durable import write_durably
from anchor.errors import AnchorError
from anchor.importer import MAX_FILE_BYTES, DiaryError, read_diary
from anchor.keys import KeyFileError, create_private_key, request
from anchor.note import Signer
from anchor.trust import MAX_TRUST_BYTES, Member, fingerprint, parse_trust, replaces
from anchor.words import language, pick

PROVEN, NOT_PROVEN, COULD_NOT_TELL = 0, 1, 2
MAX_ANSWER_BYTES = 8 * 1024 * 1024
TIMEOUT_SECONDS = 60
ATTEMPTS = 4

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

AsJson = Annotated[bool, typer.Option("--json", help="Cho máy đọc · For machines")]
From = Annotated[
    str, typer.Option("--from", envvar="MONEO_URL", help="Trang của tỉnh · The province's address")
]

key_app = typer.Typer(no_args_is_help=True, help="Khóa của doanh nghiệp · A business's own key")
batch_app = typer.Typer(no_args_is_help=True, help="Gửi nhật ký sản xuất · Submit a diary")
evidence_app = typer.Typer(no_args_is_help=True, help="Lấy bằng chứng · Get evidence")
trust_app = typer.Typer(no_args_is_help=True, help="Tệp tin cậy đã ghim · The pinned trust file")


def fail(message: str, status: int = COULD_NOT_TELL) -> NoReturn:
    """Print one sentence on standard error and end with an exit status."""
    errors.print(message, style="red", soft_wrap=True, markup=False)
    raise typer.Exit(status)


def print_json(value: Any) -> None:
    """Print a value as JSON for machines."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


# Talking to a province


class RefusalError(AnchorError):
    """A province's refusal: its problem document (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        super().__init__(str(problem.get("detail") or problem.get("title") or status))


def call(url: str, *, body: bytes | None = None, token: str | None = None) -> bytes:
    """Send one request to a province and return the body of its answer.

    Raises:
        RefusalError: the province refused; typer.Exit(2): no answer, after a few tries.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        fail(pick(f"{url}: cần địa chỉ http(s)", f"{url}: an http(s) address is needed"))
    headers = {"Accept": "application/json, text/plain, application/problem+json"}
    headers["Accept-Language"] = language()
    if body is not None:
        headers["Content-Type"] = "application/vnd.moneo.batch"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    for attempt in range(ATTEMPTS):
        query = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310  scheme is checked above
        try:
            with urllib.request.urlopen(query, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                data: bytes = answer.read(MAX_ANSWER_BYTES)
                return data
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise RefusalError(error.code, _problem(error)) from error
            reason: object = f"{error.code} {error.reason}"
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
        if attempt < ATTEMPTS - 1:
            errors.print(
                pick(
                    f"chưa có trả lời, thử lại… ({reason})", f"no answer, trying again… ({reason})"
                )
            )
            time.sleep(2**attempt)
    fail(
        pick(
            f"{url} không trả lời ({reason}). Dữ liệu đã lưu trên máy này; hãy chạy lại lệnh.",
            f"{url} does not answer ({reason}). Nothing is lost: run the command again later.",
        )
    )


def _problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        problem = json.loads(error.read(MAX_ANSWER_BYTES))
    except ValueError:
        problem = None
    return problem if isinstance(problem, dict) else {"title": f"{error.code} {error.reason}"}


# key


@key_app.command("new")
def key_new(
    issuer: Annotated[
        str, typer.Argument(help="Tên tỉnh cấp: <origin>/<mã> · The name the province gave")
    ],
    as_json: AsJson = False,
) -> None:
    """Tạo khóa trên máy này; khóa không bao giờ rời máy · Make a key that never leaves this machine."""
    if not issuer.rpartition("/")[0]:
        fail(
            pick(
                f"{issuer}: không phải tên do tỉnh cấp",
                f"{issuer}: is no issuer name of a province",
            )
        )
    path = outbox.key_path(outbox.home(), issuer)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        key = create_private_key(path)
    except KeyFileError:
        fail(pick(f"{path} đã có khóa", f"{path} holds a key already: it is kept"))
    wanted = path.with_suffix(".request")
    write_durably(wanted, request(Signer(issuer, key)))
    if as_json:
        return print_json({"issuer": issuer, "key": str(path), "request": str(wanted)})
    console.print(
        pick("Khóa (giữ kín, nhớ sao lưu):", "Key (keep it secret, back it up):"), str(path)
    )
    console.print(pick("Gửi cho tỉnh tệp này:", "Send this file to the province:"), str(wanted))
    return None


# batch


@batch_app.command("submit")
def batch_submit(
    file: Annotated[
        Path,
        typer.Argument(help="Nhật ký .xlsx, .csv hoặc .jsonl · A diary, .xlsx, .csv or .jsonl"),
    ],
    to: Annotated[
        str,
        typer.Option("--to", envvar="MONEO_URL", help="Trang của tỉnh · The province's address"),
    ],
    token: Annotated[
        str, typer.Option(envvar="MONEO_TOKEN", help="Mã truy cập · The organisation's token")
    ],
    issuer: Annotated[
        str, typer.Option(help="Tên tỉnh cấp · The issuer name (if there are several)")
    ] = "",
    practice: Annotated[
        bool, typer.Option(help="Gửi thử, được ghi rõ là thử · Marked as practice")
    ] = False,
    again: Annotated[
        bool, typer.Option(help="Gửi lại như nhật ký mới · Submit the same file anew")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Muối, ký bằng khóa của mình và gửi một nhật ký · Salt, sign with one's own key and send a diary."""
    source = bytes_of(file, MAX_FILE_BYTES)
    box = outbox.Outbox(outbox.home(), issuer or _only_issuer())
    try:
        entries = read_diary(file.name, source, box.finder())
    except DiaryError as error:
        for complaint in error.complaints:
            errors.print(complaint, style="red", markup=False, soft_wrap=True)
        fail(
            pick("Chưa gửi gì. Hãy sửa các dòng trên.", "Nothing was sent. Mend the rows above."),
            NOT_PROVEN,
        )
    results = []
    with box.locked(), progress_bar(quiet=as_json) as progress:
        task = progress.add_task(pick("Gửi", "Sending"), total=len(entries))
        # What an earlier run left unsent goes first: the province takes batches in order of seq.
        earlier = [s for s in box.stored() if not s.sent]
        for stored in earlier:
            _send(box, stored, to, token)
        prepared = box.prepare(source, entries, "practice" if practice else "live", again=again)
        for stored in prepared:
            results.append(_send(box, stored, to, token))
            progress.update(task, completed=min(len(entries), stored.part * outbox.RECORDS_A_BATCH))
        progress.update(task, completed=len(entries))
    if as_json:
        return print_json({"records": len(entries), "batches": results})
    new = sum(not r["before"] for r in results)
    console.print(
        pick(
            f"{len(entries)} bản ghi trong {len(results)} lô: tỉnh đã nhận ({new} lô mới).",
            f"{len(entries)} records in {len(results)} batches: accepted ({new} batches are new).",
        )
    )
    if not new:
        console.print(
            pick(
                "Tệp này đã gửi trước đó; --again để gửi lại như mới.",
                "This file was submitted before; --again submits it anew.",
            )
        )
    return None


def _send(box: outbox.Outbox, stored: outbox.Stored, to: str, token: str) -> dict[str, Any]:
    if stored.sent:
        return {"batch": _batch_id(stored), "seq": stored.seq, "before": True}
    try:
        answer = _deliver(box, stored, to, token)
    except RefusalError as error:
        fail(_refusal(box, stored, error), NOT_PROVEN)
    receipt = str(answer["receipt"]).encode()
    write_durably(stored.receipt, receipt, outbox.PRIVATE)
    return {"batch": answer["batch"], "seq": stored.seq, "before": False}


def _deliver(box: outbox.Outbox, stored: outbox.Stored, to: str, token: str) -> dict[str, Any]:
    """Send a batch; first again those that the province has lost, as one restored from a backup has."""
    try:
        return _post(stored, to, token)
    except RefusalError as error:
        expected = error.problem.get("expected_seq")
        if error.status != 409 or not isinstance(expected, int) or not 0 <= expected < stored.seq:
            raise
    lost = box.stored()[expected : stored.seq]
    errors.print(
        pick(
            f"Tỉnh không còn {len(lost)} lô đã có biên nhận (từ số {expected}): gửi lại đúng các lô đó.",
            f"The province has lost {len(lost)} batches that it gave receipts for (from {expected} on): "
            "sending the same ones again.",
        ),
        soft_wrap=True,
    )
    # Notes that were signed once: this follows nobody, and contradicts nothing (PROTOCOL §2). The
    # first receipts are kept.
    for old in lost:
        _post(old, to, token)
    return _post(stored, to, token)


def _post(stored: outbox.Stored, to: str, token: str) -> dict[str, Any]:
    url = f"{to.rstrip('/')}/v1/batches"
    answer: dict[str, Any] = json.loads(call(url, body=stored.path.read_bytes(), token=token))
    return answer


def _batch_id(stored: outbox.Stored) -> str:
    from anchor.ijson import encode_b64url

    return encode_b64url(outbox.note_hash_of(stored))


def _refusal(box: outbox.Outbox, stored: outbox.Stored, error: RefusalError) -> str:
    expected = error.problem.get("expected_seq")
    if error.status == 409 and expected is not None:
        return pick(
            f"Tỉnh chờ lô số {expected} nhưng máy này có lô số {stored.seq}: {box.folder} thiếu lô, hoặc "
            "ai khác dùng khóa này. Khôi phục bản sao lưu, hoặc báo tỉnh thu hồi khóa.",
            f"The province expects batch {expected}, this machine holds batch {stored.seq}: {box.folder} "
            "lacks batches, or somebody else uses this key. Restore its backup, or have the key revoked.",
        )
    return f"{error.problem.get('title', '')} ({error.status}): {error}"


def _only_issuer() -> str:
    names = outbox.newest_names(outbox.home())
    if len(names) != 1:
        fail(
            pick(
                f"Có {len(names)} khóa trong {outbox.home()}: dùng --issuer",
                f"There are {len(names)} keys in {outbox.home()}: name one with --issuer",
            )
        )
    return names[0]


def progress_bar(*, quiet: bool) -> Progress:
    """Return a bar that says how far one is."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, disable=quiet)


# evidence


@evidence_app.command("get")
def evidence_get(
    what: Annotated[
        str,
        typer.Argument(
            help="Mã truy xuất, địa chỉ QR hoặc mã bản ghi · A code, its link, or a record id"
        ),
    ],
    source: From,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Tệp ghi ra · Where to write it")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MONEO_TOKEN",
            help="Mã truy cập (để thấy trường riêng) · Token (shows own private fields)",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tải một tệp bằng chứng để giữ và kiểm tra ngoại tuyến · Fetch an evidence file to keep and check offline."""
    base = source.rstrip("/")
    path = urllib.parse.urlsplit(what).path if "//" in what else what
    if path.startswith("/"):
        url = f"{base}/v1/evidence?code={urllib.parse.quote(path, safe='')}"
    else:
        url = f"{base}/v1/records/{urllib.parse.quote(path)}/evidence"
    try:
        data = call(url, token=token)
    except RefusalError as error:
        fail(str(error), NOT_PROVEN)
    name = path.strip("/").replace("/", "_").replace("%", "_")
    target = output or Path(f"{name}.evidence.json")
    target.write_bytes(data)
    if as_json:
        return print_json({"file": str(target), "bytes": len(data)})
    console.print(
        pick(f"Đã ghi {target} ({len(data)} byte).", f"Wrote {target} ({len(data)} bytes).")
    )
    return None


# trust


def trust_folder() -> Path:
    """Return where pinned trust files are kept, one for each chain id."""
    return outbox.home() / "trust"


@trust_app.command("add")
def trust_add(
    source: Annotated[str, typer.Argument(help="Tệp hoặc địa chỉ · A file or an address")],
    expect: Annotated[
        str,
        typer.Option("--fingerprint", help="Dấu vân tay phải khớp · It must have this fingerprint"),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Không hỏi lại · Do not ask")] = False,
    as_json: AsJson = False,
) -> None:
    """Ghim một tệp tin cậy sau khi so dấu vân tay · Pin a trust file after comparing its fingerprint."""
    data = call(source) if "://" in source else bytes_of(Path(source), MAX_TRUST_BYTES)
    trust = parse_trust(data)
    printed = fingerprint(data)
    if expect and _hex(expect) != _hex(printed):
        fail(
            pick(
                f"Dấu vân tay là {printed}: không khớp",
                f"The fingerprint is {printed}: it is another file",
            ),
            NOT_PROVEN,
        )
    path = trust_folder() / f"{trust.cometbft_chain_id}.json"
    # Names and hosts of members are signed by nobody: a person looks at those that are new.
    news = replaces(path.read_bytes(), data) if path.exists() else trust.members
    if not as_json:
        _show_trust(news, printed)
    if not (expect or yes) and not typer.confirm(pick("Khớp?", "Is it the same?"), err=as_json):
        fail(pick("Chưa ghim.", "Not pinned."), NOT_PROVEN)
    write_durably(path, data)
    if as_json:
        return print_json({"fingerprint": printed, "file": str(path)})
    console.print(pick(f"Đã ghim: {path}", f"Pinned: {path}"), soft_wrap=True)
    return None


def _show_trust(news: Sequence[Member], printed: str) -> None:
    for member in news:
        hosts = ", ".join(member.hosts)
        said = pick("Thành viên mới hoặc đổi:", "New or changed member:")
        console.print(f"{said} {member.name} ({hosts}; {member.log})", markup=False, soft_wrap=True)
    console.print(pick("Dấu vân tay:", "Fingerprint:"), printed, soft_wrap=True)
    console.print(
        pick(
            "So với dấu vân tay in trên giấy hoặc trên trang của nơi đã đưa tệp này.",
            "Compare it with the one on paper, or on the page of whoever gave this file.",
        )
    )


def _hex(text: str) -> str:
    return "".join(text.split()).replace(":", "").lower()


@trust_app.command("show")
def trust_show(as_json: AsJson = False) -> None:
    """Cho xem các tệp tin cậy đã ghim · Show the pinned trust files."""
    rows = []
    for path in sorted(trust_folder().glob("*.json")):
        data = path.read_bytes()
        trust = parse_trust(data)
        members = [f"{m.name} ({m.log})" for m in trust.members]
        rows.append({"chain": trust.cometbft_chain_id, "date": trust.date, "members": members,
                     "fingerprint": fingerprint(data), "file": str(path)})  # fmt: skip
    if as_json:
        return print_json(rows)
    if not rows:
        fail(pick("Chưa ghim tệp nào: moneo trust add …", "None is pinned: moneo trust add …"))
    for row in rows:
        for name, value in row.items():
            console.print(
                f"{name:>12}  {', '.join(value) if isinstance(value, list) else value}",
                soft_wrap=True,
            )
    return None


def bytes_of(path: Path, limit: int) -> bytes:
    """Return a file's bytes, at most `limit`; else end with a sentence."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        fail(f"{path}: {os.strerror(error.errno or 0)}")
    if len(data) > limit:
        fail(pick(f"{path}: lớn hơn {limit} byte", f"{path}: larger than {limit} bytes"))
    return data
