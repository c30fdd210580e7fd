# SPDX-License-Identifier: GPL-3.0-or-later
"""Random and mutated bodies at every door of a running province: refused or taken, never a 5xx or a hang.

Real processes, real sockets: both doors, the upload page, JSON-RPC over HTTP and WebSocket, pages, headers,
and bytes that are no HTTP at all. Afterwards nothing was logged as failed, memory is bounded, and good
batches are accepted and proven. A few hundred in the suite; `--long` sends 100,000.
"""

import json
import random
import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from anchor.province import Province
from anchor.settings import Settings, load
from anchor.verify import verify
from api import sheets
from tests.support.doors import Business, at_plain_door, at_signed_door
from tests.support.mutations import draw, mutate, mutate_json, repack
from tests.support.province import Running, answers, free_addresses, moneo, wait_until
from tests.support.raw import Connection, frame, request, websocket

SEED = 20261122
SUITE_BODIES, LONG_BODIES = 600, 100_000
THREADS = 6
# Words by which a process says that something failed.
SIGNS = re.compile(r"Traceback|Error|failed|Exception| 500 \d+ ms|SIGKILL")
CODE = "/01/09520001000034/10/THU-1"
BOUNDARY = "----moneo"
# A validator, the anchor process and the API, each with its workers.
MEMORY_KIB = 512 * 1024
# What a process may keep after this many bodies beyond what it had before.
GROWTH_KIB = 192 * 1024
FRAMES_A_SOCKET = 30
WORD = re.compile(r'name="word" value="([0-9a-f]{64})"')
XLSX = sheets.template("crab")
SHEET = "xl/worksheets/sheet1.xml"
CSV = "Giai đoạn;Thời gian;Sản phẩm;GTIN;Lô\nThả giống;3/3/2026 6:30;Cua;9520001000010;A\n".encode()
EVENT = {"type": "ObjectEvent", "eventTime": "2026-07-23T07:30:00Z", "epcList": [f"https://id.gs1.org{CODE}"],
         "quantityList": [{"epcClass": f"https://id.gs1.org{CODE}", "quantity": 3.5, "uom": "KGM"}]}  # fmt: skip
ADDRESS, HASH = "0x" + "22" * 20, "0x" + "ab" * 32
METHODS: Sequence[tuple[str, list[Any]]] = (
    ("eth_call", [{"to": ADDRESS, "data": "0x01", "gas": "0x5208"}, "latest"]),
    ("eth_estimateGas", [{"to": ADDRESS, "data": "0x01"}]), ("eth_createAccessList", [{"to": ADDRESS}]),
    ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest", "address": ADDRESS, "topics": [None, [HASH]]}]),
    ("eth_getProof", [ADDRESS, ["0x0", HASH], "latest"]), ("eth_feeHistory", ["0x4", "latest", [1, 50]]),
    ("eth_sendRawTransaction", ["0x02f86f"]), ("eth_getBlockByNumber", ["latest", True]),
    ("eth_newFilter", [{"topics": []}]), ("eth_getFilterChanges", ["0x1"]), ("eth_subscribe", ["logs", {}]),
    ("eth_getStorageAt", [ADDRESS, "0x0", {"blockNumber": "0x1"}]), ("moneo_getAncestry", [1, "0x2"]),
    ("moneo_getLightBlock", ["0x1"]), ("eth_getTransactionByHash", [HASH]), ("web3_sha3", ["0x00"]),
)  # fmt: skip
PATHS = (
    CODE, f"/find?code={CODE}", f"/v1/evidence?code=https://id.gs1.org{CODE}", "/v1/batches/{id}", "/log/tile/0/000.p/1",
    "/v1/records/{id}.0/evidence", "/problems/malformed", "/upload/nhat-ky-cua.xlsx", f"{CODE}/qr.svg", "/?lang=en",
)  # fmt: skip


@dataclass
class Target:
    """A running province as an attacker sees it who has tokens, a session and valid samples."""

    settings: Settings
    serving: Running
    doors: Sequence[Business]
    bodies: Sequence[bytes]
    cookie: str = ""
    word: str = ""
    pids: Mapping[str, int] = field(default_factory=dict)

    @property
    def logged(self) -> str:
        """What the processes have said from the first failure on, if one was logged."""
        lines = list(self.serving.lines)
        first = next((at for at, line in enumerate(lines) if SIGNS.search(line)), None)
        return "" if first is None else "".join(lines[first : first + 60])

    def memory(self, name: str) -> dict[str, int]:
        """VmRSS, VmHWM of each process with its workers in KiB; what they share is counted for each."""
        pattern = re.compile(rf"{name}:\s+(\d+) kB")
        return {
            process: sum(
                int(pattern.findall(Path(f"/proc/{one}/status").read_text())[0])
                for one in (pid, *workers(pid))
            )
            for process, pid in self.pids.items()
        }


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    home = tmp_path_factory.mktemp("bodies")
    api, rpc = free_addresses(2)
    where = ("--data", home / "var", "--api", api, "--rpc", rpc)
    moneo("init", "Tỉnh thử", "moneo.example/bodies/2026", *where, home=home)
    settings = load(home / "var")
    with Running("serve", "--data", home / "var") as serving:
        wait_until("the API answers", lambda: answers(f"{settings.public_url}/healthz"))
        doors = [at_signed_door(settings, home, "KY"), at_plain_door(settings, home, "GIU")]
        for door in doors:
            door.submit()
        bodies = [doors[0]._body(f"{CODE}-{n}", ("a", "b")[:n]) for n in (1, 2)]
        found = Target(settings, serving, doors, bodies)
        sign_in(found)
        found.pids = children(serving)
        yield found
        assert serving.stop() == 0


def workers(pid: int) -> list[int]:
    """The processes that one has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def children(serving: Running) -> dict[str, int]:
    listed = subprocess.run(
        ["pgrep", "-P", str(serving.process.pid), "-a"], capture_output=True, text=True, check=True
    ).stdout
    names = {"node": " node ", "anchor": "run-anchor", "api": "run-api"}
    lines = listed.splitlines()
    return {
        name: next(int(line.split()[0]) for line in lines if word in line)
        for name, word in names.items()
    }


def sign_in(target: Target) -> None:
    """Visit the upload page as its member; remember the cookie and the word of its forms."""
    with httpx.Client(base_url=target.settings.public_url) as browser:
        form = {
            "word": WORD.findall(browser.get("/upload").text)[0],
            "token": target.doors[1]._token,
        }
        assert browser.post("/upload/sign-in", data=form).status_code == 303
        target.word = WORD.findall(browser.get("/upload").text)[0]
        target.cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


class Attacker:
    """Draws requests; each method is one way in, and all that it draws follows from the seed."""

    def __init__(self, target: Target, seed: int) -> None:
        self.target, self.chance = target, random.Random(seed)
        self.api, self.rpc = Connection(target.settings.listen), Connection(target.settings.rpc)
        self.seen = Counter[str]()

    def attack(self) -> int:
        """Send one thing, or the frames of one WebSocket; return how many bodies that were."""
        name = self.chance.choice(WAYS)
        way: Callable[[], int | None] = getattr(self, name)
        return way() or 1

    def batches(self) -> None:
        headers = {**self._token(0), "Content-Type": "application/vnd.moneo.batch", **self._key()}
        self._post("batches", "/v1/batches", headers, self._mutated(*self.target.bodies))

    def records(self) -> None:
        lines = b"".join(self._json(EVENT) + b"\n" for _ in range(self.chance.randint(1, 3)))
        body = self._mutated(lines) if self.chance.random() < 0.5 else lines
        headers = {**self._token(1), "Content-Type": "application/x-ndjson", **self._key()}
        self._post("records", "/v1/records?mode=practice", headers, body)

    def upload(self) -> None:
        file = self.chance.choice((
            lambda: ("a.csv", self._mutated(CSV)),
            lambda: ("a.xlsx", self._mutated(XLSX)),
            lambda: ("b.xlsx", repack(XLSX, SHEET, self._mutated)),
            lambda: (self._text("c.xlsm"), self._mutated(XLSX)),
        ))()  # fmt: skip
        body = multipart(self.target.word, *file)
        if self.chance.random() < 0.3:
            body = self._mutated(body)
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        self._post("upload", "/upload", {"Cookie": self.target.cookie, "Content-Type": kind}, body)

    def forms(self) -> None:
        path = self.chance.choice(
            ("/upload/sign-in", "/upload/sign-out", f"/upload/{'0' * 32}", "/upload")
        )
        body = urlencode(
            {"word": self.target.word, "token": self.target.doors[1]._token + "x"}
        ).encode()
        kind = "application/x-www-form-urlencoded"
        self._post(
            "forms", path, {"Cookie": self.target.cookie, "Content-Type": kind}, self._mutated(body)
        )

    def json_rpc(self) -> None:
        status, answer = self.rpc.ask(
            request("POST", "/", {"Content-Type": "application/json"}, self._rpc_body())
        )
        self._judge("rpc", status)
        judge_rpc(answer)

    def pages(self) -> None:
        path = self._text(
            self.chance.choice(PATHS).format(id=self.target.doors[0].acknowledged[0].batch)
        )
        path = path if self.chance.random() < 0.3 else quote(path, safe="/?=&:%")
        headers = {
            "Accept": self._text("text/html;q=0.5, */*"),
            "Accept-Language": self._text("vi,en;q=0.5"),
        }
        method = self.chance.choice(("GET", "GET", "GET", "HEAD", "OPTIONS", "DELETE", "PUT"))
        self._throw(
            "pages", self.api, request(method, path if path.startswith("/") else "/", headers)
        )

    def headers(self) -> None:
        names = (
            "Authorization",
            "Cookie",
            "Content-Type",
            "Idempotency-Key",
            "Transfer-Encoding",
            "Sec-Fetch-Site",
        )
        values = (
            f"Bearer {self.target.doors[0]._token}",
            self.target.cookie,
            "multipart/form-data; boundary=x",
        )
        headers = {
            name: self._text(self.chance.choice(values)) for name in self.chance.sample(names, 3)
        }
        path = self.chance.choice(("/v1/batches", "/v1/records", "/upload", "/upload/sign-in"))
        self._throw("headers", self.api, request("POST", path, headers, self._mutated(CSV)))

    def wire(self) -> None:
        """Mutate the bytes of a request itself: lengths, chunks, line ends, and what is no HTTP."""
        sent = self.chance.choice((
            lambda: request("POST", "/v1/batches", self._token(0), self.target.bodies[0]),
            lambda: chunked("/v1/records", self._token(1), CSV),
            lambda: request("GET", CODE, {"X": "a" * self.chance.choice((10, 70_000, 200_000))}),
            lambda: b"\x16\x03\x01\x02\x00\x01\x00" + self.chance.randbytes(200),
        ))()  # fmt: skip
        connection = self.chance.choice((self.api, self.rpc))
        self._throw("wire", connection, self._mutated(sent) if self.chance.random() < 0.9 else sent)

    def frames(self) -> int:
        """Send requests over a WebSocket, and frames that are none."""
        with websocket(self.target.settings.rpc) as socket:
            for _ in range(FRAMES_A_SOCKET):
                data = frame(self._rpc_body(), self.chance.choice((1, 1, 1, 2, 9)))
                if self.chance.random() < 0.05:
                    data = self._mutated(data)
                socket.send(data)
            socket.send(frame(b"", 8))
            for answer in socket.messages():
                self.seen["frames"] += 1
                judge_rpc(answer)
        return FRAMES_A_SOCKET

    def _rpc_body(self) -> bytes:
        calls = [
            {"jsonrpc": "2.0", "id": n, "method": m, "params": p}
            for n, (m, p) in enumerate(self.chance.sample(METHODS, 2))
        ]
        body = self._json(calls if self.chance.random() < 0.5 else calls[0])
        return self._mutated(body) if self.chance.random() < 0.3 else body

    def _json(self, value: object) -> bytes:
        changed = mutate_json(value, draw(self.chance, 3)) if self.chance.random() < 0.7 else value
        return json.dumps(changed).encode()

    def _mutated(self, *samples: bytes) -> bytes:
        if self.chance.random() < 0.05:
            return self.chance.randbytes(self.chance.choice((0, 1, 10, 1000, 100_000)))
        return mutate(self.chance.choice(samples), draw(self.chance), self.chance.choice(samples))

    def _text(self, sample: str) -> str:
        """Return a text that fits into one line of a head, mutated."""
        changed = mutate(sample.encode(), draw(self.chance, 2)).decode("latin-1")
        return re.sub(r"[\r\n]", " ", changed)[:4000]

    def _token(self, door: int) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.target.doors[door]._token}"}

    def _key(self) -> dict[str, str]:
        return (
            {"Idempotency-Key": f"k{self.chance.randrange(50)}"}
            if self.chance.random() < 0.2
            else {}
        )

    def _post(self, name: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        self._judge(name, self.api.ask(request("POST", path, headers, body))[0])

    def _throw(self, name: str, connection: Connection, sent: bytes) -> None:
        for status in connection.throw(sent) or [0]:
            self._judge(name, status)

    def _judge(self, name: str, status: int) -> None:
        self.seen[f"{name} {status // 100}xx" if status else f"{name} closed"] += 1
        assert status < 500, (name, status)


# By name, as often as they are to be chosen; a WebSocket counts for its frames.
WAYS = (
    *["batches", "upload", "json_rpc"] * 4, *["records", "forms", "pages", "headers", "wire"] * 2, "frames"
)  # fmt: skip


def multipart(word: str, name: str, data: bytes) -> bytes:
    """Return the upload page's form with a file."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="word"\r\n\r\n{word}\r\n--{BOUNDARY}\r\n'
    head += f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode("latin-1", "replace") + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def chunked(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a request whose body comes in chunks (RFC 9112 §7.1)."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Transfer-Encoding: chunked"]
    lines += [
        "Content-Type: application/x-ndjson",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:9], body[9:]))
    return "\r\n".join([*lines, "", ""]).encode() + pieces + b"0\r\n\r\n"


def judge_rpc(answer: bytes) -> None:
    """Check that an answer is JSON to the letter and no failure of the node's own."""
    if not answer:
        return
    answers = json.loads(answer, parse_constant=pytest.fail) if answer[:1] in b"[{" else []
    for one in answers if isinstance(answers, list) else [answers]:
        assert one.get("error", {}).get("code") != -32603, one


def assault(target: Target, bodies: int) -> Counter[str]:
    """Send that many bodies from a few threads at once; return what came of them."""
    attackers = [Attacker(target, SEED + number) for number in range(THREADS)]
    faults: list[BaseException] = []

    def run(attacker: Attacker) -> None:
        sent = 0
        try:
            while sent < bodies // THREADS and not faults:
                sent += attacker.attack()
        except BaseException as error:  # noqa: BLE001 - told by the test
            faults.append(error)

    threads = [threading.Thread(target=run, args=(attacker,)) for attacker in attackers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for attacker in attackers:
        attacker.api.close()
        attacker.rpc.close()
    if faults:
        raise AssertionError(f"{faults[0]!r}\n{target.logged}") from faults[0]
    return sum((attacker.seen for attacker in attackers), Counter[str]())


def check(target: Target, before: Mapping[str, int]) -> None:
    """Check logs, memory, and that good batches are accepted, anchored and proven."""
    assert not target.logged, target.logged
    assert children(target.serving) == target.pids
    assert max(target.memory("VmHWM").values()) < MEMORY_KIB
    after = target.memory("VmRSS")
    assert all(after[name] - before[name] < GROWTH_KIB for name in after), (before, after)
    # A business of its own: what the bodies were made of may have been taken as it was.
    new = at_signed_door(target.settings, target.settings.data.parent, f"S{time.time_ns() % 10**9}")
    for door in (new, target.doors[1]):
        door.submit()
        assert not door.faults
        prove(target.settings, door.acknowledged[-1].batch)


def prove(settings: Settings, batch: str) -> None:
    with closing(Province.open(settings)) as province:
        wait_until("anchored", lambda: province.status(batch).state == "anchored")
        verdict = verify(province.evidence([(batch, 0)]), province.trust())
    assert verdict.proven, verdict.failure


def test_no_body_fails_a_server_and_good_ones_are_taken_afterwards(target: Target) -> None:
    before = target.memory("VmRSS")
    seen = assault(target, SUITE_BODIES)
    check(target, before)
    refused = {name for name in seen if name.endswith("4xx")}
    assert refused >= {
        f"{way} 4xx" for way in ("batches", "records", "upload", "forms", "headers", "wire")
    }
    assert seen["rpc 2xx"] and seen["frames"] and seen["records 2xx"] and seen["upload 3xx"]


@pytest.mark.parametrize(
    "behind", [b"", frame(b"\xff"), frame(b"", 8)], ids=["alone", "twice", "closing"]
)
def test_a_text_that_is_no_utf8_ends_its_websocket_and_is_not_logged(
    target: Target, behind: bytes
) -> None:
    with websocket(target.settings.rpc) as socket:
        socket.send(frame(b"\xc3(") + behind)
        assert not list(socket.messages())
    assert not target.logged, target.logged


def test_a_batch_that_comes_in_small_pieces_is_judged_as_any_other(target: Target) -> None:
    connection = Connection(target.settings.listen)
    headers = {**Attacker(target, 0)._token(0), "Content-Type": "application/vnd.moneo.batch"}
    sent = request("POST", "/v1/batches", headers, target.bodies[0][:-1])
    status, _ = connection.ask(*(sent[at : at + 200] for at in range(0, len(sent), 200)))
    connection.close()
    assert status == 422


@pytest.mark.long
def test_no_body_of_a_hundred_thousand_fails_a_server(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    started, before = time.monotonic(), target.memory("VmRSS")
    seen = assault(target, LONG_BODIES)
    with capsys.disabled():
        print(f"\n{time.monotonic() - started:.0f} s, RSS {before} -> {target.memory('VmRSS')},")  # noqa: T201
        print(f"at most {target.memory('VmHWM')} KiB; {dict(sorted(seen.items()))}")  # noqa: T201
    check(target, before)
