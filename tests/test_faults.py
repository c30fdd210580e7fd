# SPDX-License-Identifier: GPL-3.0-or-later
"""Full disks, read-only folders, jumping clocks, second writers, copies taken in between.

Each time: a clear error, nothing acknowledged is lost, and it goes on by itself when the cause is gone.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anchor.batch import FIRST_PREV, build, note_hash, read_batch_note, split_body
from anchor.codes import parse_path
from anchor.ijson import encode_b64url
from anchor.note import Signer
from anchor.province import BatchRefused, Province
from anchor.record import salt
from anchor.settings import Settings, load
from anchor.verify import verify
from node.application import Application
from node.chain import Chain
from node.db import LevelDB
from node.genesis import load as load_genesis
from node.genesis import load_validator_key
from node.light import from_rpc
from node.sequencer import Sequencer
from tests.support.anchoring import (
    ORGANISATION,
    Business,
    anchoring,
    found_province,
    province_of,
    running_node,
)
from tests.support.doors import admit
from tests.support.province import ROOT, Running, free_addresses, moneo, wait_until

DISK_BYTES = 24 * 1024 * 1024
DAY = 86_400


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own in a folder."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def submit(settings: Settings, body: bytes, token: str) -> tuple[int, str]:
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/vnd.moneo.batch",
        "Accept-Language": "en",
    }
    query = urllib.request.Request(f"{settings.public_url}/v1/batches", body, headers)
    try:
        with urllib.request.urlopen(query, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def chain_of_batches(settings: Settings, signer: Signer) -> Iterator[tuple[bytes, str]]:
    """Batches of about 200 kB that don't compress, each after the one before, with their ids."""
    seq, prev = 0, FIRST_PREV
    code = parse_path("/01/09520001000034/10/K-1")
    while True:
        fields = [{"n": n, "noise": os.urandom(1_000).hex()} for n in range(100)]
        records = [
            salt(each, type="epcis.objectevent", mode="practice", codes=[code]) for each in fields
        ]
        body = build(
            records, signer, log=settings.origin, seq=seq, prev=prev, time=int(time.time())
        )
        seq, prev = seq + 1, note_hash(read_batch_note(split_body(body)[0])[1])
        yield body, encode_b64url(prev)


def check_all_proven(settings: Settings, batches: list[str]) -> None:
    province = Province.open(settings)
    wait_until("all is anchored", lambda: province.status(batches[-1]).state == "anchored")
    for batch in batches:
        assert verify(province.evidence([(batch, 0)]), province.trust()).proven
    province.close()


# Disks


def test_a_full_disk_costs_nothing_and_ends_by_itself(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", f"size={DISK_BYTES}") as disk:
        api, rpc = free_addresses(2)
        data = disk / "var"
        words = ("init", "Thử", "moneo.example/full/2026", "--data", data, "--api", api)
        moneo(*words, "--rpc", rpc, home=tmp_path)
        settings = load(data)
        with Running("serve", "--data", data) as served:
            served.wait_for("Serving")
            signer, token = admit(settings, tmp_path)
            bodies, acknowledged = chain_of_batches(settings, signer), list[str]()
            body, batch = next(bodies)
            while (answer := submit(settings, body, token))[0] == 202:
                acknowledged.append(batch)
                body, batch = next(bodies)
                if len(acknowledged) == 3:
                    fill(disk / "ballast")
                assert len(acknowledged) < 200
            assert answer[0] == 503, answer
            assert "disk" in answer[1]
            time.sleep(3)
            (disk / "ballast").unlink()
            wait_until("it accepts again", lambda: submit(settings, body, token)[0] == 202)
            acknowledged.append(batch)
            check_all_proven(settings, acknowledged)
        moneo("doctor", "--data", data, home=tmp_path)


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (65_536, 4_096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def test_a_file_that_may_not_grow_refuses_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    with running_node(found_province(tmp_path / "var")) as settings, province_of(settings) as open_:
        business = Business.of(settings.origin)
        business.apply(open_)
        with anchoring(settings) as parts:
            parts.until_done()
        for number in range(20):
            (settings.data / f"{number}.batch").write_bytes(business.batch(60))
        work = "from tests.support.anchoring import accept_batches; accept_batches({!r}, 20)"
        size = (settings.data / "moneo.db").stat().st_size
        done = subprocess.run(
            [sys.executable, "-c", work.format(str(settings.data))],
            cwd=ROOT,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode
        assert "OperationalError" in done.stderr
        said = settings.data / "acknowledged"
        acknowledged = said.read_text().split() if said.exists() else []
        assert len(acknowledged) < 20
        for batch in acknowledged:
            open_.receipt(batch)
        for number in range(20):
            open_.accept((settings.data / f"{number}.batch").read_bytes(), ORGANISATION)
        with anchoring(settings) as parts:
            parts.until_done()
        rows = open_.batches_after(0, 50)
        assert len(rows) == 20
        check_all_proven(settings, [row.batch for row in rows])


def test_a_read_only_folder_is_said_and_left_as_it_is(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", f"size={DISK_BYTES}") as disk:
        settings = found_province(disk / "var")
        with running_node(settings) as running, province_of(running) as province:
            business = Business.of(settings.origin)
            business.apply(province)
            with anchoring(running) as parts:
                parts.until_done()
                province.accept(business.batch(), ORGANISATION)
                parts.until_done()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        node = ("node", "run", "--home", settings.node_home, "--rpc", free_addresses(1)[0])
        said = moneo(*node, home=tmp_path, status=2)
        assert "Traceback" not in said
        assert "Read-only" in said
        with Running("run-anchor", "--data", settings.data) as anchor:
            anchor.wait_for("the disk can't be used")
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            anchor.wait_for("not anchoring")
        moneo("doctor", "--data", settings.data, home=tmp_path)


# Second writers, copies


def test_a_second_writer_on_one_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    api, rpc, other = free_addresses(3)
    data = tmp_path / "var"
    words = ("init", "Thử", "moneo.example/two/2026", "--data", data, "--api", api, "--rpc", rpc)
    moneo(*words, home=tmp_path)
    settings = load(data)
    with Running("serve", "--data", data) as served:
        served.wait_for("Serving")
        wait_until("founded", settings.trust_path.exists)
        assert rpc in moneo("serve", "--data", data, home=tmp_path, status=2)
        assert "writing this log" in moneo("run-anchor", "--data", data, home=tmp_path, status=2)
        node = ("node", "run", "--home", settings.node_home, "--rpc", other)
        assert "another node" in moneo(*node, home=tmp_path, status=2)
        signer, token = admit(settings, tmp_path)
        body, batch = next(chain_of_batches(settings, signer))
        assert submit(settings, body, token)[0] == 202
        check_all_proven(settings, [batch])


def test_a_folder_copied_while_running_is_judged_and_the_original_is_untouched(
    tmp_path: Path,
) -> None:
    with running_node(found_province(tmp_path / "var")) as settings, province_of(settings) as open_:
        business = Business.of(settings.origin)
        business.apply(open_)
        batches = []
        with anchoring(settings) as parts:
            for number in range(2):
                parts.until_done()
                batches.append(open_.accept(business.batch(), ORGANISATION).batch)
                copy = tmp_path / f"copy{number}"
                shutil.copytree(settings.data, copy)
                said = json.loads(
                    moneo("doctor", "--data", copy, "--json", home=tmp_path, status=None)
                )
                assert all(one["en"] and one["vi"] for one in said)
            parts.until_done()
        check_all_proven(settings, batches)


# Clocks


def test_block_times_grow_whatever_the_clock_does(tmp_path: Path) -> None:
    settings = found_province(tmp_path / "var")
    now = time.time_ns()
    jumps = iter([now, now + 10 * DAY * 10**9, now - 10 * DAY * 10**9, now, now + 1] * 4)
    home = settings.node_home
    database = LevelDB(home / "chain")
    try:
        application = Application(Chain(database, load_genesis(home)))
        key: Ed25519PrivateKey = load_validator_key(home)
        sequencer = Sequencer(application, key, now_nanos=lambda: next(jumps))
        for _ in range(10):
            sequencer._make(())
        times = [
            from_rpc(sequencer.light_block_json(height)).header.time
            for height in range(1, sequencer.height + 1)
        ]
        assert times == sorted(set(times))
    finally:
        database.close()


def test_a_clock_that_jumps_by_days_refuses_what_it_cannot_tell_and_then_goes_on(
    tmp_path: Path,
) -> None:
    with running_node(found_province(tmp_path / "var")) as settings, province_of(settings) as open_:
        business, now = Business.of(settings.origin), int(time.time())
        business.apply(open_)
        with anchoring(settings) as parts:
            parts.until_done()
            accepted = [
                open_.accept(business.batch(at=now), ORGANISATION, now + 10 * DAY).batch,
                open_.accept(business.batch(at=now), ORGANISATION, now).batch,
            ]
            late = business.batch(at=now)
            with pytest.raises(BatchRefused) as refused:
                open_.accept(late, ORGANISATION, now - 10 * DAY)
            assert refused.value.code == "future"
            accepted.append(open_.accept(late, ORGANISATION, now).batch)
            parts.until_done()
        check_all_proven(settings, accepted)
