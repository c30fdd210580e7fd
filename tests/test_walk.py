# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole walk as its three people take it: start, diary, page, evidence, and a verdict with everything stopped."""

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from anchor.verify import verify
from tests.support.province import (
    ROOT,
    Running,
    answers,
    free_addresses,
    get,
    json_of,
    moneo,
    wait_until,
)
from tests.support.tools import tessera_fsck

CODE = "/01/09520001000034/10/HOP-01-1"
READY = "What to try next"


@dataclass
class Walk:
    """A demonstration province that was started, walked through and stopped again."""

    data: Path
    home: Path
    url: str
    rpc: str
    journey: bytes
    trust: bytes
    records: dict[str, bytes]
    first_start: list[str]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    base = tmp_path_factory.mktemp("walk")
    api, rpc = free_addresses(2)
    data, home, url = base / "var", base / "home", f"http://{api}"
    with Running("demo", "--data", data, "--api", api, "--rpc", rpc) as demo:
        demo.wait_for(READY)
        moneo("evidence", "get", url + CODE, "--from", url, "-o", base / "journey.json", home=home)
        moneo("trust", "add", f"{url}/v1/trust", "--yes", home=home)
        records = {}
        for receipt in sorted((data / "sample").rglob("*.batch")):
            status, listing = get(f"{url}/v1/batches/{batch_id(receipt)}")
            assert status == 200, listing
            for index in range(json.loads(listing)["size"]):
                record = f"{batch_id(receipt)}.{index}"
                status, records[record] = get(f"{url}/v1/records/{record}/evidence")
                assert status == 200, records[record]
        assert demo.stop(signal.SIGINT) == 0, "".join(demo.lines)
    journey = (base / "journey.json").read_bytes()
    (pinned,) = (home / "trust").glob("*.json")
    yield Walk(data, home, url, rpc, journey, pinned.read_bytes(), records, demo.lines)


@pytest.fixture(scope="module")
def serving(walk: Walk) -> Iterator[Running]:
    """The province as it serves, until a test kills it."""
    with Running("serve", "--data", walk.data) as running:
        running.wait_for("Serving")
        yield running


def batch_id(body: Path) -> str:
    from anchor.batch import note_hash, read_batch_note, split_body
    from anchor.ijson import encode_b64url

    return encode_b64url(note_hash(read_batch_note(split_body(body.read_bytes())[0])[1]))


def test_the_first_start_prints_addresses_a_qr_code_and_what_to_try(walk: Walk) -> None:
    said = "".join(walk.first_start)
    assert walk.url + CODE in said
    assert any(block in said for block in "█▀▄")
    assert "moneo verify" in said


def test_the_journey_verifies_with_everything_stopped(walk: Walk) -> None:
    file = walk.home / "journey.json"
    file.write_bytes(walk.journey)
    said = moneo("verify", file, "--code", CODE, home=walk.home)
    assert "one validator: the province itself" in said.lower()
    verdict = json_of(moneo("verify", file, "--code", CODE, "--json", home=walk.home))
    stages = [record["fields"]["moneo:cte"] for record in verdict[0]["records"]]
    assert sorted(stages) == ["harvest", "packing", "shipping", "stocking"]


def test_every_record_of_the_sample_verifies_with_everything_stopped(walk: Walk) -> None:
    assert len(walk.records) == 200
    for record, evidence in walk.records.items():
        verdict = verify(evidence, walk.trust)
        assert verdict.proven, verdict.failure
        assert [r.id for r in verdict.records] == [record]
        assert verdict.records[0].mode == "practice"


def test_a_person_is_named_to_nobody_but_the_owner(walk: Walk) -> None:
    for evidence in walk.records.values():
        (record,) = verify(evidence, walk.trust).records
        assert {"moneo:recordedBy", "moneo:phone"} <= set(record.hidden)
        assert "0900" not in evidence.decode()


def test_a_folder_of_evidence_is_one_table_and_one_exit_status(walk: Walk, tmp_path: Path) -> None:
    for number, evidence in enumerate(list(walk.records.values())[:3]):
        (tmp_path / f"{number}.json").write_bytes(evidence)
    assert "3 of 3" in moneo("verify", tmp_path, home=walk.home)
    (tmp_path / "1.json").write_bytes(
        walk.journey.replace(b"live", b"dead").replace(b"practice", b"live")
    )
    assert "2 of 3" in moneo("verify", tmp_path, home=walk.home, status=1)


def test_the_exit_status_is_two_where_nothing_can_be_told(walk: Walk, tmp_path: Path) -> None:
    file = tmp_path / "journey.json"
    file.write_bytes(walk.journey)
    assert "moneo trust add" in moneo("verify", file, home=tmp_path, status=2)
    moneo("verify", tmp_path / "absent.json", home=walk.home, status=2)
    moneo("verify", home=walk.home, status=2)


def test_another_code_is_not_proven(walk: Walk, tmp_path: Path) -> None:
    file = tmp_path / "journey.json"
    file.write_bytes(walk.journey)
    moneo("verify", file, "--code", CODE.replace("HOP-01-1", "HOP-02-1"), home=walk.home, status=1)


def test_after_a_flipped_bit_in_any_file_nothing_else_is_proven(walk: Walk) -> None:
    """Ten random bits of each of the 200 files; tests/anchor flips every byte, and in long form every bit."""
    chance = random.Random(len(walk.records))
    for evidence in walk.records.values():
        proven = verify(evidence, walk.trust).records
        for _ in range(10):
            flipped = bytearray(evidence)
            position = chance.randrange(len(flipped))
            flipped[position] ^= 1 << chance.randrange(8)
            verdict = verify(bytes(flipped), walk.trust)
            assert not verdict.proven or verdict.records == proven, position


def test_started_again_it_goes_on_and_submits_nothing_twice(walk: Walk) -> None:
    checkpoint = (walk.data / "log" / "checkpoint").read_bytes()
    with Running("demo", "--data", walk.data) as demo:
        demo.wait_for(READY)
        status, page = get(walk.url + CODE, {"Accept": "text/html"})
        assert status == 200
        assert "mẫu" in page.decode()
        status, again = get(f"{walk.url}/v1/evidence?code={CODE}")
        assert again == walk.journey
        assert demo.stop() == 0
    assert (walk.data / "log" / "checkpoint").read_bytes() == checkpoint


def test_a_cooperative_of_its_own_goes_the_whole_way(walk: Walk, tmp_path: Path) -> None:
    """Every command of the README's second half, with the province away in the middle."""
    name, data, home = "HTX thử", ("--data", walk.data), tmp_path / "coop"
    diary = tmp_path / "diary.csv"
    rows = "".join(f"shipping,2026-11-0{n},Cua,09521234000006,L{n}\n" for n in range(1, 4))
    diary.write_text("stage,time,product,gtin,lot\n" + rows)
    added = moneo("org", "add", name, "--prefix", "/01/0952123", *data, "--json", home=home)
    issuer = field(added, "issuer")
    made = moneo("key", "new", issuer, "--json", home=home)
    token = field(moneo("org", "token", name, *data, "--json", home=home), "token")
    submit = partial(moneo, "batch", "submit", diary, home=home, MONEO_URL=walk.url)
    assert "Nothing is lost" in submit(status=2, MONEO_TOKEN=token)
    (salted,) = (home / "batches").rglob("*.batch")
    body = salted.read_bytes()
    with Running("serve", "--data", walk.data) as serving:
        serving.wait_for("Serving")
        moneo("org", "key", name, field(made, "request"), *data, home=home)
        sent = submit("--json", MONEO_TOKEN=token)
        assert salted.read_bytes() == body
        assert "submitted before" in submit(MONEO_TOKEN=token)
        batch = json_of(sent)["batches"][0]["batch"]
        code = "/01/09521234000006/10/L2"
        wait_until("anchored", lambda: state_of(walk, batch) == "anchored")
        file = tmp_path / "crab.json"
        moneo("evidence", "get", code, "--from", walk.url, "-o", file, home=home)
        moneo("org", "revoke", name, "--token", token, *data, home=home)
        assert "401" in submit("--again", status=1, MONEO_TOKEN=token)
        moneo("org", "revoke", name, "--key", *data, home=home)
        fresh = field(moneo("org", "token", name, *data, "--json", home=home), "token")
        submit(status=1, MONEO_TOKEN=fresh)
        wait_until(
            "revoked", lambda: '"revoked"' in moneo("org", "list", *data, "--json", home=home)
        )
    verdict = json_of(moneo("verify", file, "--code", code, "--json", home=walk.home))[0]
    (record,) = verdict["records"]
    assert (record["statement"], record["custody"], record["mode"]) == ("owner", "holder", "live")
    assert record["issuer_name"] == name


def field(said: str, name: str) -> str:
    return str(json_of(said)[name])


def state_of(walk: Walk, batch: str) -> str:
    return str(json.loads(get(f"{walk.url}/v1/batches/{batch}")[1])["state"])


def test_a_child_that_dies_is_said_and_started_again(walk: Walk, serving: Running) -> None:
    children = subprocess.run(
        ["pgrep", "-P", str(serving.process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    assert len(children) == 3
    os.kill(int(children[2]), signal.SIGKILL)
    serving.wait_for("SIGKILL")
    wait_until("the API answers again", lambda: _ok(f"{walk.url}/healthz"))


def test_what_cannot_start_says_why_in_one_sentence(
    walk: Walk, serving: Running, tmp_path: Path
) -> None:
    assert serving.process.poll() is None
    said = moneo("serve", "--data", walk.data, home=tmp_path, status=2)
    assert "choose another in" in said
    new = ("demo", "--data", tmp_path / "new")
    said = moneo(*new, "--rpc", walk.rpc, home=tmp_path, status=2)
    assert "choose another with --api/--rpc" in said
    assert not (tmp_path / "new").exists()
    (tmp_path / "something").write_text("mine")
    assert "no data folder of Moneo" in moneo("demo", "--data", tmp_path, home=tmp_path, status=2)
    other = tmp_path / "other"
    other.mkdir()
    (other / "version").write_text("999\n")
    assert "version" in moneo("serve", "--data", other, home=tmp_path, status=2)
    assert "Traceback" not in said


def test_killed_it_leaves_nothing_behind_and_starts_again(walk: Walk, serving: Running) -> None:
    assert _ok(f"{walk.url}/healthz")
    serving.stop(signal.SIGKILL)
    wait_until(
        "the children end", lambda: not answers(walk.url) and not answers(f"http://{walk.rpc}")
    )
    with Running("serve", "--data", walk.data) as again:
        again.wait_for("Serving")
        assert again.stop() == 0


def _ok(url: str) -> bool:
    try:
        return get(url)[0] == 200
    except OSError:
        return False


def test_no_key_is_readable_by_others_or_printed(walk: Walk) -> None:
    keys = [*walk.data.rglob("*.key")]
    assert len(keys) >= 4
    for key in keys:
        assert key.stat().st_mode & 0o077 == 0, key
    secrets = [line for key in keys for line in key.read_text().split() if len(line) > 40]
    assert secrets
    assert not any(secret in "".join(walk.first_start) for secret in secrets)


@pytest.mark.parametrize("broken", [None, "tile/0", "tile/entries"])
def test_tesseras_fsck_judges_the_log_on_disk(
    walk: Walk, tmp_path: Path, broken: str | None
) -> None:
    log = tmp_path / "log"
    shutil.copytree(walk.data / "log", log)
    if broken:
        # The widest one: narrower partial tiles are of earlier checkpoints and not looked at.
        files = [path for path in (log / broken).rglob("*") if path.is_file()]
        victim = max(files, key=lambda path: path.stat().st_size)
        data = bytearray(victim.read_bytes())
        data[-1] ^= 1
        victim.write_bytes(data)
    said = tessera_fsck(log, _verifier_key(walk.data))
    assert ("Successfully fsck'd" in said) is (broken is None), said


def _verifier_key(data: Path) -> str:
    from anchor.keys import load_private_key
    from anchor.note import Signer, verifier_key
    from anchor.settings import load

    settings = load(data)
    signer = Signer(settings.origin, load_private_key(settings.log_key))
    return verifier_key(signer.name, signer.public_key)


def test_the_scripts_refuse_in_one_sentence(tmp_path: Path) -> None:
    """scripts/setup names what is missing; tried with a python3 that lacks it."""
    fake = tmp_path / "python3"
    for check, words in (
        ("version_info < (3, 11)", "3.11"),
        ("ensurepip", "python3-venv"),
        ("leveldb", "libleveldb-dev"),
    ):
        fake.write_text(f"#!/bin/sh\ncase \"$2$(cat </dev/null)\" in *'{check}'*) exit 1;; esac\n"
                        f"if [ \"$1\" = - ]; then grep -q '{check}' && exit 1; fi\nexit 0\n")  # fmt: skip
        fake.chmod(0o755)
        done = subprocess.run(
            [ROOT / "scripts" / "setup", "requirements.lock"],
            env={**os.environ, "PYTHON": str(fake)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
