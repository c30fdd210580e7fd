# SPDX-License-Identifier: GPL-3.0-or-later
"""What a disk does to a province's files is named by `moneo doctor`, and by whoever opens them; none of it is served.

Files are cut at random lengths and flipped by single bits. A change passes only if it leaves all
that the file says as it was (free room in a page, LevelDB's lock). `--long` makes thousands.
"""

import json
import random
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anchor import doctor as anchor_doctor
from anchor.errors import AnchorError
from anchor.settings import Settings, load
from anchor.tiles import Log
from anchor.verify import verify
from node import doctor as node_doctor
from node.db import LevelDB
from node.errors import NodeError
from node.run import Node, StartError, listen
from tests.support.anchoring import (
    ORGANISATION,
    Business,
    anchoring,
    found_province,
    province_of,
    running_node,
)
from tests.support.flips import flip_bit
from tests.support.province import moneo

BATCHES = 4
TRIES, LONG_TRIES = 12, 600
SEED = 20261122
# What nothing vouches for: whose account it is, when we noted something, where a step stands.
NOT_VOUCHED = {
    "issuers.organisation",
    "issuers.created_at",
    "issuers.state",
    "batches.logged_at",
    "transactions.nonce",
    "transactions.kind",
    "transactions.subject",
    "transactions.state",
    "transactions.block",
    "transactions.id",
    "anchors.state",
    "meta.key",
    "meta.value",
}
Damage = Callable[[random.Random, bytes], bytes]


def cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def flip(chance: random.Random, data: bytes) -> bytes:
    return flip_bit(data, chance.randrange(8 * len(data)))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A province's folder with anchored batches, everything stopped."""
    data = tmp_path_factory.mktemp("sound") / "var"
    with running_node(found_province(data)) as settings, province_of(settings) as province:
        business = Business.of(settings.origin)
        business.apply(province)
        with anchoring(settings) as parts:
            for _ in range(BATCHES):
                parts.until_done()
                province.accept(business.batch(), ORGANISATION)
            parts.until_done()
    database = sqlite3.connect(data / "moneo.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return data


@pytest.fixture
def patient(sound: Path, tmp_path: Path) -> Iterator[Callable[[], Settings]]:
    """A fresh copy of the sound folder each time it is asked for."""

    def fresh() -> Settings:
        shutil.rmtree(tmp_path / "var", ignore_errors=True)
        shutil.copytree(sound, tmp_path / "var")
        return load(tmp_path / "var")

    yield fresh


def diagnose(settings: Settings) -> list[Any]:
    blocks: list[bytes] = []
    findings: list[Any] = list(anchor_doctor.check(settings, blocks))
    node = node_doctor.check(settings.node_home)
    findings += node.findings
    if node.hashes:
        findings.append(anchor_doctor.compare(blocks, node.hashes))
    return findings


def damaged(settings: Settings) -> set[str]:
    return {one.what for one in diagnose(settings) if one.state == "damaged"}


def files(folder: Path, *patterns: str) -> list[Path]:
    found = [path for pattern in patterns for path in folder.glob(pattern) if path.is_file()]
    return sorted(path for path in found if path.stat().st_size)


def contents(folder: Path) -> dict[Path, bytes]:
    """All files but the two that SQLite keeps while somebody reads."""
    found = [path for path in files(folder, "**/*") if not path.name.endswith(("-shm", "-wal"))]
    return {path: path.read_bytes() for path in found}


def hurt(chance: random.Random, path: Path, how: Damage) -> None:
    path.write_bytes(how(chance, path.read_bytes()))


def tries(request: pytest.FixtureRequest) -> int:
    return LONG_TRIES if request.config.getoption("--long") else TRIES


def rows(database: Path) -> dict[str, list[dict[str, Any]]]:
    connection = sqlite3.connect(database)
    connection.row_factory = sqlite3.Row
    try:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')]  # noqa: S608
            for (name,) in names
        }
    finally:
        connection.close()


def changed_columns(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {
        f"{table}.{column}"
        for table in before
        for old, new in zip(before[table], after[table], strict=True)
        for column in old
        if old[column] != new[column]
    }


def chain_content(home: Path) -> list[tuple[bytes, bytes]] | None:
    try:
        database = LevelDB(home / "chain")
    except NodeError:
        return None
    try:
        return list(database.scan())
    except NodeError:
        return None
    finally:
        database.close()


def start_node(home: Path) -> None:
    """Start a node and stop it; raises what it says if it can't."""
    with Node(home, listen("127.0.0.1", 0)):
        pass


# Sound folders


def test_a_sound_province_is_said_to_be_sound_stopped_or_running(
    patient: Callable[[], Settings], tmp_path: Path
) -> None:
    settings = patient()
    before = contents(settings.data)
    said = json.loads(moneo("doctor", "--data", settings.data, "--json", home=tmp_path))
    assert {one["state"] for one in said} == {"good"}
    assert contents(settings.data) == before


def test_it_finds_nothing_wrong_while_batches_come_in(tmp_path: Path) -> None:
    with running_node(found_province(tmp_path / "var")) as settings, province_of(settings) as open_:
        business = Business.of(settings.origin)
        business.apply(open_)
        ending = threading.Event()

        def submit() -> None:
            with anchoring(settings) as parts:
                parts.until_done()
                while not ending.is_set():
                    open_.accept(business.batch(), ORGANISATION)
                    parts.until_done()

        thread = threading.Thread(target=submit)
        thread.start()
        try:
            until = time.monotonic() + 8
            while time.monotonic() < until:
                found = diagnose(settings)
                assert not [one for one in found if one.state == "damaged"]
        finally:
            ending.set()
            thread.join()


def test_a_province_that_has_never_run_is_neither_good_nor_damaged(tmp_path: Path) -> None:
    found_province(tmp_path / "var")
    moneo("doctor", "--data", tmp_path / "var", home=tmp_path, status=2)


# The log


@pytest.mark.parametrize("how", [cut, flip])
def test_damage_to_any_file_of_the_log_is_named(
    patient: Callable[[], Settings], how: Damage, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(SEED)
    for _ in range(min(tries(request), 200)):
        settings = patient()
        path = chance.choice(files(settings.log_path, "tile/**/*", "checkpoint"))
        hurt(chance, path, how)
        said = [one for one in anchor_doctor.check(settings, []) if one.state == "damaged"]
        assert said, path
        name = path.relative_to(settings.log_path).as_posix()
        assert any(name in one.en or "checkpoint" in one.en for one in said), (name, said)


def test_the_anchor_process_refuses_a_log_whose_newest_file_is_cut(
    patient: Callable[[], Settings],
) -> None:
    chance = random.Random(SEED)
    for pattern in (f"tile/0/000.p/{BATCHES}", f"tile/entries/000.p/{BATCHES}", "checkpoint"):
        settings = patient()
        hurt(chance, settings.log_path / pattern, cut)
        with pytest.raises(AnchorError, match=r"tile|checkpoint"), anchoring(settings):
            pass


# The database


def test_a_bit_flipped_in_the_database_is_found_or_changes_nothing_that_anyone_vouches_for(
    patient: Callable[[], Settings], request: pytest.FixtureRequest
) -> None:
    chance, outcome = random.Random(SEED), Counter[str]()
    for _ in range(tries(request)):
        settings = patient()
        database = settings.data / "moneo.db"
        before = rows(database)
        hurt(chance, database, flip)
        if damaged(settings):
            outcome["named"] += 1
            continue
        assert changed_columns(before, rows(database)) <= NOT_VOUCHED
        outcome["without effect"] += 1
    print(dict(outcome))  # noqa: T201  the long form's result


def test_a_database_cut_short_is_named(
    patient: Callable[[], Settings], request: pytest.FixtureRequest
) -> None:
    chance = random.Random(SEED)
    for _ in range(min(tries(request), 200)):
        settings = patient()
        hurt(chance, settings.data / "moneo.db", cut)
        assert damaged(settings)


def test_evidence_from_a_damaged_database_never_says_something_else(
    patient: Callable[[], Settings], request: pytest.FixtureRequest
) -> None:
    chance = random.Random(SEED)
    settings = patient()
    with province_of(settings) as province:
        batches = [one.batch for one in province.batches_after(0, BATCHES)]
        good = {batch: province.evidence([(batch, 0)]) for batch in batches}
        trust = province.trust()
    for _ in range(tries(request)):
        settings = patient()
        hurt(chance, settings.data / "moneo.db", flip)
        try:
            with province_of(settings) as province:
                for batch in batches:
                    file = province.evidence([(batch, 0)])
                    assert file == good[batch] or not verify(file, trust).proven
        except Exception:  # noqa: BLE001, S112  an error serves nothing
            continue


# The chain


@pytest.mark.parametrize("how", [cut, flip])
def test_damage_to_the_chain_is_named_or_loses_nothing(
    patient: Callable[[], Settings], how: Damage, request: pytest.FixtureRequest
) -> None:
    chance, outcome = random.Random(SEED), Counter[str]()
    content = chain_content(patient().node_home)
    for _ in range(min(tries(request), 100)):
        settings = patient()
        home = settings.node_home
        path = chance.choice(files(home, "chain/[0-9]*", "chain/MANIFEST*", "chain/CURRENT"))
        hurt(chance, path, how)
        if damaged(settings):
            outcome["named"] += 1
        else:
            start_node(home)
            assert chain_content(home) == content, path
            outcome["made again from what was signed"] += 1
    print(dict(outcome))  # noqa: T201  the long form's result


def test_a_chain_that_lost_its_last_block_makes_the_same_one_again(
    patient: Callable[[], Settings],
) -> None:
    settings = patient()
    home = settings.node_home
    content = chain_content(home)
    # Opening has made a table of the log; what is written now stands in a log of its own.
    patient()
    log = files(home, "chain/*.log")[-1]
    log.write_bytes(log.read_bytes()[:-1])
    assert chain_content(home) != content
    start_node(home)
    assert chain_content(home) == content


@pytest.mark.parametrize("lost", ["half the log", "the whole folder", "CURRENT"])
def test_a_validator_whose_chain_lost_blocks_does_not_sign(
    patient: Callable[[], Settings], lost: str
) -> None:
    settings = patient()
    home = settings.node_home
    if lost == "the whole folder":
        shutil.rmtree(home / "chain")
    elif lost == "CURRENT":
        (home / "chain" / "CURRENT").unlink()
    else:
        log = files(home, "chain/*.log")[-1]
        log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    signed = (home / "signed.json").read_bytes()
    with pytest.raises(StartError, match="backup"):
        start_node(home)
    assert (home / "signed.json").read_bytes() == signed
    assert damaged(settings)


@pytest.mark.parametrize("how", [cut, flip])
def test_a_damaged_record_of_the_last_vote_is_named(
    patient: Callable[[], Settings], how: Damage
) -> None:
    chance = random.Random(SEED)
    for _ in range(TRIES):
        settings = patient()
        path = settings.node_home / "signed.json"
        before = json.loads(path.read_bytes())
        hurt(chance, path, how)
        if "chain" in damaged(settings):
            with pytest.raises(StartError):
                start_node(settings.node_home)
        else:
            # Hexadecimal digits are the same in either case.
            after = json.loads(path.read_bytes())
            assert json.dumps(after).lower() == json.dumps(before).lower()


def test_a_chain_without_the_blocks_that_evidence_was_made_of_is_named(
    patient: Callable[[], Settings], sound: Path
) -> None:
    settings = patient()
    shutil.rmtree(settings.node_home / "chain")
    (settings.node_home / "signed.json").unlink()
    start_node(settings.node_home)
    assert "chain and database" in damaged(settings)


def test_the_command_ends_with_1_and_says_what_to_do(
    patient: Callable[[], Settings], tmp_path: Path
) -> None:
    settings = patient()
    hurt(random.Random(SEED), settings.log_path / f"tile/entries/000.p/{BATCHES}", flip)
    said = moneo("doctor", "--data", settings.data, home=tmp_path, status=1)
    assert "✗ log" in said
    assert "hỏng" in said
    assert "backup" in said


def test_reading_a_damaged_entry_is_refused(patient: Callable[[], Settings]) -> None:
    settings = patient()
    hurt(random.Random(SEED), settings.log_path / f"tile/entries/000.p/{BATCHES}", flip)
    with pytest.raises(AnchorError):
        Log(settings.log_path, settings.origin).entries(0, BATCHES)
