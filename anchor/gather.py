# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds evidence where an inspector has it: files, folders, standard input, addresses, photographs of labels.

Whoever printed a label chose the host that stands on it, so that a host is asked only if a member of
a pinned trust file has registered it. What comes from anywhere is judged by its bytes alone; a host
is no reason to believe it, but a stranger's is a reason to doubt the label.
"""

import http.client
import ipaddress
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, quote, urljoin, urlsplit

from anchor import photo
from anchor.codes import Code, CodeError, parse_code
from anchor.errors import AnchorError
from anchor.evidence import MAX_EVIDENCE_BYTES
from anchor.trust import Trust

STDIN: Final = "-"
SECONDS: Final = 20
# For one answer as a whole, however slowly it drips.
MOST_SECONDS: Final = 60
REDIRECTS: Final = 3
HEAD_BYTES: Final = 64
# A label without a host is taken to the members' pages, one after the other.
MAX_ASKED: Final = 64
NOT_FOUND: Final = frozenset({404, 410})

_TRUST_FILE = re.compile(rb'\s*\{\s*"format"\s*:\s*"moneo/trust/')
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")


class GatherError(AnchorError):
    """There is nothing to judge; `vi` and `en` say why, and what to do."""

    def __init__(self, vi: str, en: str) -> None:
        self.vi = vi
        self.en = en
        super().__init__(f"{vi} · {en}")


class UnknownCodeError(GatherError):
    """A page answers that it has no record of a code."""


@dataclass(frozen=True)
class Item:
    """Something to judge: its evidence, and the code that its label or address says, if any.

    Where there is no evidence, `problem` says why.
    """

    name: str
    evidence: bytes = b""
    code: str | None = None
    problem: GatherError | photo.PhotoError | CodeError | None = None


class Pages:
    """Whom to ask for evidence: hosts that members have registered, others only if they are wanted."""

    def __init__(
        self, trusts: Sequence[Trust], *, strangers: bool = False, source: str = ""
    ) -> None:
        """`source` is the address of a page to ask instead of the label's own host."""
        members = [member for trust in trusts for member in trust.members]
        self._hosts = dict.fromkeys(_normal(host) for member in members for host in member.hosts)
        self._strangers = strangers
        self._source = source.rstrip("/")
        redirects = _Redirects(self.check)
        self._opener = urllib.request.build_opener(redirects)

    def check(self, url: str) -> None:
        """Raise GatherError unless this address may be asked."""
        parts = _split(url)
        host = _normal(parts.netloc)
        if not _HOST.fullmatch(host) or parts.scheme not in ("http", "https"):
            raise _no_address(url)
        if parts.scheme == "http" and not _is_here(host):
            raise GatherError(
                f"{host}: chỉ hỏi qua https://, trừ máy này",
                f"{host}: only https:// is asked, but on this machine",
            )
        if host not in self._hosts and not self._strangers:
            raise GatherError(
                f"{host} là của người lạ: không thành viên nào trong tệp tin cậy đăng ký tên này. Chưa tải gì. "
                "Nhãn có thể là giả; hỏi trang của một thành viên bằng --from, hoặc vẫn tải bằng --from-stranger.",
                f"{host} is a stranger's: no member in the trust file has registered it. Nothing was fetched. "
                "The label may be false; ask a member's page by --from, or fetch all the same by --from-stranger.",
            )

    def fetch(self, url: str) -> bytes:
        """Return what an address answers, at most as much as evidence can be.

        Raises:
            GatherError: not to be asked, no answer, or too long a one; UnknownCodeError: nothing there.
        """
        self.check(url)
        parts = _split(url)
        # What an address bar shows may hold letters that a request can't; nobody's password is sent.
        asked = quote(
            parts._replace(netloc=_normal(parts.netloc)).geturl(), safe="%/:?#[]@!$&'()*+,;=-._~"
        )
        query = urllib.request.Request(asked, headers={"Accept": "application/json"})  # noqa: S310  checked above
        host = urlsplit(asked).netloc
        try:
            with self._opener.open(query, timeout=SECONDS) as answer:
                return _bounded(answer)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in NOT_FOUND:
                raise UnknownCodeError(
                    f"{host} không có hồ sơ nào về mã này", f"{host} has no record of this code"
                ) from error
            reason: object = error.code
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error or type(error).__name__
        raise GatherError(f"{host} không trả lời ({reason})", f"{host} does not answer ({reason})")

    def evidence_of(self, code: Code, link: str = "") -> bytes:
        """Return the evidence of a code: from `--from`, the label's own host, or the members' in turn."""
        parts = _split(link)
        if self._source or link:
            # Evidence is found at the root of the host, wherever that keeps its pages.
            scheme = (
                "http"
                if _is_here(_normal(parts.netloc)) and parts.scheme.lower() == "http"
                else "https"
            )
            return self.fetch(
                _evidence_url(self._source or f"{scheme}://{_normal(parts.netloc)}", code)
            )
        bases = [f"{'http' if _is_here(host) else 'https'}://{host}" for host in self._hosts]
        for base in bases[:MAX_ASKED]:
            try:
                return self.fetch(_evidence_url(base, code))
            except UnknownCodeError:
                continue
        raise UnknownCodeError(
            "không thành viên nào có hồ sơ về mã này; có thể mã chưa từng được cấp",
            "no member has a record of this code; it may never have been issued",
        )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows few redirections, and each only to where one might have gone oneself."""

    max_redirections = REDIRECTS
    max_repeats = 1

    def __init__(self, check: Callable[[str], None]) -> None:
        self._check = check

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        self._check(urljoin(req.full_url, newurl))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _bounded(answer: http.client.HTTPResponse) -> bytes:
    """Read an answer as far as evidence goes, and no longer than we have time."""
    deadline = time.monotonic() + MOST_SECONDS
    data = bytearray()
    while len(data) <= MAX_EVIDENCE_BYTES and (part := answer.read1(1 << 16)):
        data += part
        if time.monotonic() > deadline:
            raise TimeoutError
    if answer.length and len(data) <= MAX_EVIDENCE_BYTES:
        raise http.client.IncompleteRead(bytes(data), answer.length)
    # One byte more than there may be: the verifier says what it is.
    return bytes(data[: MAX_EVIDENCE_BYTES + 1])


def _evidence_url(base: str, code: Code) -> str:
    return f"{base}/v1/evidence?code={quote(code.path, safe='')}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError as error:
        raise _no_address(url) from error


def _no_address(url: str) -> GatherError:
    return GatherError(
        f"{_short(url)}: không phải địa chỉ https", f"{_short(url)}: no https address"
    )


def _normal(netloc: str) -> str:
    """Return a host as hosts are compared: without user, in lower case, without https's own port."""
    host = netloc.rpartition("@")[2].lower()
    try:
        host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return ""
    return host.removesuffix(":443")


def _is_here(host: str) -> bool:
    """Whether a host is this very machine, as while one tries things out."""
    name = re.sub(r":[0-9]*\Z", "", host).strip("[]")
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _short(text: str) -> str:
    shown = "".join(c if c.isprintable() else "\ufffd" for c in text[:80])
    return shown + ("…" if len(text) > 80 else "")


# What an inspector names ------------------------------------------------------------------------------


def gather(words: Sequence[str], pages: Pages) -> Iterator[Item]:
    """Yield what each word leads to, one after the other: nothing is kept that has been judged.

    A word is a file (evidence or a photograph), a folder of them, `-`, an address of evidence or of a
    product's page, or a code.
    """
    for word in words:
        if word == STDIN:
            yield from _opened(
                _named(word), sys.stdin.buffer.read(photo.MAX_PHOTO_BYTES + 1), pages
            )
        elif "://" in word:
            yield _addressed(word, pages)
        elif Path(word).is_dir():
            yield from _folder(Path(word), pages)
        elif not Path(word).exists() and _is_code(word):
            yield _labelled(_named(word), word, pages)
        else:
            yield from _file(Path(word), pages)


def _named(word: str) -> str:
    """Return how a word is named in a table."""
    return "stdin" if word == STDIN else _short(word)


def count(words: Sequence[str]) -> int:
    """Return how many files the words lead to, to show how far one is."""
    return sum(len(files_in(Path(word))) if Path(word).is_dir() else 1 for word in words)


def files_in(folder: Path) -> list[Path]:
    """Return the evidence files and photographs of a folder and those in it, in the order of their names."""
    wanted = {".json", *photo.SUFFIXES}
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in wanted and p.is_file())


def _folder(folder: Path, pages: Pages) -> Iterator[Item]:
    files = files_in(folder)
    if not files:
        yield Item(
            str(folder),
            problem=GatherError(
                "thư mục không có tệp bằng chứng (*.json) hay ảnh nhãn",
                "the folder holds no evidence files (*.json) or photographs",
            ),
        )
    for path in files:
        # A trust file among the evidence is nobody's pin, and nothing to judge.
        yield from (one for one in _file(path, pages) if not _TRUST_FILE.match(one.evidence))


def _file(path: Path, pages: Pages) -> Iterator[Item]:
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            most = photo.MAX_PHOTO_BYTES if photo.is_photo(head) else MAX_EVIDENCE_BYTES
            data = head + file.read(most + 1 - len(head))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        yield Item(str(path), problem=GatherError(f"{path}: {reason}", f"{path}: {reason}"))
        return
    yield from _opened(str(path), data, pages)


def _opened(name: str, data: bytes, pages: Pages) -> Iterator[Item]:
    """Yield what bytes are: a photograph's labels, else evidence, whatever they are."""
    if not photo.is_photo(data[:HEAD_BYTES]):
        yield Item(name, data[: MAX_EVIDENCE_BYTES + 1])
        return
    try:
        labels = photo.read_labels(data)
    except photo.PhotoError as error:
        yield Item(name, problem=error)
        return
    for number, label in enumerate(labels, start=1):
        yield _labelled(name if len(labels) == 1 else f"{name}#{number}", label, pages)


def _addressed(url: str, pages: Pages) -> Item:
    """Follow an address: a product's page leads to its evidence, any other is evidence itself."""
    if _is_code(url):
        return _labelled(_named(url), url, pages)
    try:
        return Item(_named(url), pages.fetch(url), _asked(url))
    except GatherError as error:
        return Item(_named(url), problem=error)


def _is_code(text: str) -> bool:
    try:
        parse_code(text)
    except CodeError:
        return False
    return True


def _asked(url: str) -> str | None:
    """Return the code that an address of evidence asks for, so that another's does not pass for it."""
    try:
        return parse_code(parse_qs(_split(url).query)["code"][0]).path
    except (KeyError, CodeError):
        return None


def _labelled(name: str, label: str, pages: Pages) -> Item:
    """Take a label's text to where its evidence is."""
    try:
        code = parse_code(label)
    except CodeError as error:
        if "://" in label:
            return Item(name, problem=_strange(label, pages) or error)
        return Item(name, problem=error)
    try:
        return Item(name, pages.evidence_of(code, label if "://" in label else ""), code.path)
    except GatherError as error:
        return Item(name, code=code.path, problem=error)


def _strange(label: str, pages: Pages) -> GatherError | None:
    """Return what is to be said of a label whose address is no code's: above all whose it is."""
    try:
        pages.check(label)
    except GatherError as error:
        return error
    return None
