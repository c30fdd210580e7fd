# SPDX-License-Identifier: GPL-3.0-or-later
"""The log on disk: what others' tools read, what a crash leaves, and that wrong bytes are named."""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from anchor.checkpoint import open_checkpoint
from anchor.note import parse_verifier_key, verifier_key
from anchor.tiles import (
    MAX_ENTRY_BYTES,
    Log,
    LogCorruptError,
    LogError,
    LogLockedError,
    bundle_name,
    tile_name,
)
from node.light import merkle
from tests.support.killat import KillAt
from tests.support.logwork import ORIGIN, SIGNER, entry, grow, root_of
from tests.support.tools import tessera_fsck
from tests.support.vectors import vector

SIZES = (1, 2, 3, 255, 256, 257, 600)
LARGE = 70_000


@pytest.fixture(scope="module")
def log600(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """A reader of a log of 600 entries that was published at each of SIZES."""
    folder = tmp_path_factory.mktemp("log600")
    grow(str(folder), SIZES)
    with Log(folder / "log", ORIGIN, public_key=SIGNER.public_key) as log:
        yield log


def written(folder: Path, size: int) -> Path:
    grow(str(folder), [size])
    return folder / "log"


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def fsck(folder: Path) -> str:
    return tessera_fsck(folder, verifier_key(ORIGIN, SIGNER.public_key))


# Names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (tile_name(0, 0), "tile/0/000"),
        (tile_name(0, 273, 112), "tile/0/273.p/112"),
        (tile_name(2, 1_234_067), "tile/2/x001/x234/067"),
        (bundle_name(1000, 1), "tile/entries/x001/000.p/1"),
    ],
)
def test_names_are_those_of_the_specification(name: str, expected: str) -> None:
    assert name == expected


# What another program wrote


def test_reads_the_log_that_tessera_wrote() -> None:
    folder = vector("tessera-log")
    origin, key = parse_verifier_key((folder / "verifier-key").read_text().strip())
    log = Log(folder, origin, public_key=key)
    assert log.size == 600
    expected = {b"moneo tessera vector entry %d\n" % i * (1 + i % 3) for i in range(600)}
    assert set(log.entries(0, 600)) == expected
    for file in sorted((folder / "checkpoints").iterdir()):
        old = open_checkpoint(file.read_bytes(), origin, key)
        assert log.root(old.size) == old.root
        path = log.consistency_path(old.size)
        merkle.verify_consistency(old.size, old.root, 600, log.checkpoint().root, path)
    log.check()


# What another program reads


@pytest.mark.parametrize("size", [*SIZES, LARGE])
def test_tessera_fsck_accepts_our_log(size: int, tmp_path: Path) -> None:
    assert f"Successfully fsck'd log with size {size} " in fsck(written(tmp_path, size))


def test_tessera_fsck_accepts_a_log_grown_in_steps(log600: Log) -> None:
    assert "Successfully fsck'd log with size 600 " in fsck(log600.path)


@pytest.mark.parametrize("name", [tile_name(0, 1), bundle_name(1), bundle_name(2, 88)])
def test_tessera_fsck_refuses_our_log_after_a_flipped_byte(name: str, tmp_path: Path) -> None:
    folder = written(tmp_path, 600)
    flip(folder / name, 70)
    assert "Successfully" not in fsck(folder)


# Roots, entries, proofs


def test_an_empty_log_has_a_checkpoint(tmp_path: Path) -> None:
    with Log(tmp_path, ORIGIN, SIGNER) as log:
        assert log.checkpoint().size == 0
        assert log.checkpoint().root == merkle.EMPTY_ROOT
        assert log.entries(0, 0) == []
        assert log.append([]).size == 0
        log.check()
        with pytest.raises(LogError):
            log.entry(0)


def test_a_reader_of_a_log_not_yet_founded_sees_it_once_it_is(tmp_path: Path) -> None:
    reader = Log(tmp_path / "log", ORIGIN)
    assert reader.size == 0
    with pytest.raises(LogError):
        reader.signed_checkpoint()
    grow(str(tmp_path), [3])
    assert reader.refresh().size == 3
    assert reader.entry(2) == entry(2)


@pytest.mark.parametrize("size", [1, 2, 3, 255, 256, 257, 511, 512, 513, 600])
def test_roots_of_every_kind_of_size_are_those_of_the_entries(log600: Log, size: int) -> None:
    assert log600.root(size) == root_of(size)


def test_entries_come_back_in_order(log600: Log) -> None:
    assert log600.entries(0, 600) == [entry(i) for i in range(600)]
    assert log600.entries(254, 258) == [entry(i) for i in range(254, 258)]
    assert log600.entry(599) == entry(599)


def test_subtree_roots_are_those_over_the_entries(log600: Log) -> None:
    leaves = [merkle.leaf_hash(entry(i)) for i in range(600)]
    for start, end in [(0, 600), (0, 256), (256, 512), (512, 600), (592, 599), (599, 600), (4, 8)]:
        assert log600.subtree_root(start, end) == merkle.root(leaves[start:end])
    with pytest.raises(LogError):
        log600.subtree_root(4, 9)


def test_every_inclusion_path_up_to_64_verifies(log600: Log) -> None:
    for size in range(1, 65):
        root = log600.root(size)
        for index in range(size):
            path = log600.inclusion_path(index, size)
            merkle.verify_inclusion(merkle.leaf_hash(entry(index)), index, size, path, root)


def test_inclusion_paths_across_tiles_verify(log600: Log) -> None:
    for index in (0, 255, 256, 511, 512, 599):
        path = log600.inclusion_path(index)
        root = log600.checkpoint().root
        merkle.verify_inclusion(merkle.leaf_hash(entry(index)), index, 600, path, root)


def test_every_consistency_path_up_to_64_verifies(log600: Log) -> None:
    roots = [log600.root(size) for size in range(65)]
    for new in range(65):
        for old in range(new + 1):
            path = log600.consistency_path(old, new)
            merkle.verify_consistency(old, roots[old], new, roots[new], path)


def test_random_consistency_paths_of_a_large_log_verify(tmp_path: Path) -> None:
    log = Log(written(tmp_path, LARGE), ORIGIN)
    random = Random(1)
    sizes = [random.randint(1, LARGE) for _ in range(40)] + [256, 65_536, 65_537]
    for old, new in zip(sizes, [*sizes[1:], LARGE], strict=True):
        old, new = sorted((old, new))  # noqa: PLW2901 - a pair in order
        path = log.consistency_path(old, new)
        merkle.verify_consistency(old, log.root(old), new, log.root(new), path)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 1), (0, 601)])
def test_what_is_not_in_the_log_is_refused(log600: Log, start: int, end: int) -> None:
    with pytest.raises(LogError):
        log600.entries(start, end)


def test_proofs_beyond_the_size_are_refused(log600: Log) -> None:
    for call in (
        lambda: log600.inclusion_path(600),
        lambda: log600.inclusion_path(3, 3),
        lambda: log600.inclusion_path(0, 601),
        lambda: log600.consistency_path(5, 4),
        lambda: log600.root(601),
    ):
        with pytest.raises(LogError):
            call()


# Writing


def test_partial_files_go_once_the_full_one_is_published(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    grow(str(tmp_path), [255])
    assert (folder / "tile/0/000.p/255").exists()
    grow(str(tmp_path), [257])
    assert not (folder / "tile/0/000.p").exists()
    assert not (folder / "tile/entries/000.p").exists()
    assert (folder / "tile/1/000.p/1").exists()


def test_each_published_size_has_its_partial_files(tmp_path: Path) -> None:
    grow(str(tmp_path), [257, 258, 300])
    for width in (1, 2, 44):
        assert (tmp_path / "log" / tile_name(0, 1, width)).exists()
        assert (tmp_path / "log" / bundle_name(1, width)).exists()


def test_a_reader_behind_the_writer_still_reads_its_own_size(tmp_path: Path) -> None:
    grow(str(tmp_path), [255])
    reader = Log(tmp_path / "log", ORIGIN)
    grow(str(tmp_path), [600])
    assert reader.entry(254) == entry(254)
    assert reader.checkpoint().root == root_of(255)
    reader.check()
    assert reader.refresh().root == root_of(600)


def test_an_entry_of_the_greatest_length_fits_and_a_longer_one_is_refused(tmp_path: Path) -> None:
    with Log(tmp_path, ORIGIN, SIGNER) as log:
        log.append([bytes(MAX_ENTRY_BYTES), b""])
        assert log.entries(0, 2) == [bytes(MAX_ENTRY_BYTES), b""]
        with pytest.raises(LogError):
            log.append([bytes(MAX_ENTRY_BYTES + 1)])
        assert log.size == 2


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    with Log(tmp_path, ORIGIN, SIGNER):
        with pytest.raises(LogLockedError):
            Log(tmp_path, ORIGIN, SIGNER)
        with pytest.raises(LogError):
            Log(tmp_path, ORIGIN).append([b"x"])
    Log(tmp_path, ORIGIN, SIGNER).close()


def test_files_and_folders_are_synced_before_the_checkpoint_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsynced: set[str] = set()
    real_replace, real_fsync = os.replace, os.fsync

    def name_of(file: int) -> str:
        return str(Path(f"/proc/self/fd/{file}").readlink())

    def fsync(file: int) -> None:
        unsynced.discard(name_of(file))
        synced.add(name_of(file))
        real_fsync(file)

    def replace(source: Path, target: Path) -> None:
        assert str(source) in synced
        if target.name == "checkpoint":
            assert unsynced == set()
        unsynced.add(str(target.parent))
        real_replace(source, target)

    synced: set[str] = set()
    with Log(tmp_path, ORIGIN, SIGNER) as log:
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)
        log.append([entry(i) for i in range(300)])
        assert unsynced == set()


# Wrong bytes


@pytest.mark.parametrize("name", [tile_name(0, 0), tile_name(0, 2, 88), tile_name(1, 0, 2)])
def test_a_flipped_byte_in_a_tile_is_an_error_that_names_it(name: str, tmp_path: Path) -> None:
    folder = written(tmp_path, 600)
    flip(folder / name, 40)
    with pytest.raises(LogCorruptError) as caught:
        Log(folder, ORIGIN).check()
    assert caught.value.file == name


@pytest.mark.parametrize(
    ("name", "index"), [(bundle_name(0), 3), (bundle_name(2, 88), 599), (bundle_name(2, 88), 512)]
)
def test_a_flipped_byte_in_a_bundle_is_an_error_that_names_it(
    name: str, index: int, tmp_path: Path
) -> None:
    folder = written(tmp_path, 600)
    flip(folder / name, 2)
    log = Log(folder, ORIGIN)
    with pytest.raises(LogCorruptError) as read:
        log.entry(index)
    with pytest.raises(LogCorruptError) as checked:
        log.check()
    assert read.value.file == checked.value.file == name


def test_reading_a_proof_over_a_flipped_full_tile_names_it(tmp_path: Path) -> None:
    folder = written(tmp_path, 600)
    flip(folder / tile_name(0, 1), 0)
    log = Log(folder, ORIGIN)
    with pytest.raises(LogCorruptError) as caught:
        log.inclusion_path(300)
    assert caught.value.file == tile_name(0, 1)


@pytest.mark.parametrize("change", [b"", b"\x00", b"\x00\x01x"])
def test_a_bundle_with_bytes_too_many_or_too_few_is_refused(change: bytes, tmp_path: Path) -> None:
    folder = written(tmp_path, 600)
    bundle = folder / bundle_name(2, 88)
    bundle.write_bytes(bundle.read_bytes() + change if change else bundle.read_bytes()[:-1])
    with pytest.raises(LogCorruptError) as caught:
        Log(folder, ORIGIN).check()
    assert caught.value.file == bundle_name(2, 88)


@pytest.mark.parametrize("name", [tile_name(0, 0), tile_name(0, 2, 88), bundle_name(1)])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    folder = written(tmp_path, 600)
    (folder / name).unlink()
    with pytest.raises(LogCorruptError) as caught:
        Log(folder, ORIGIN).check()
    assert caught.value.file == name


def test_a_file_no_log_has_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path, 3)
    (folder / "tile/0/0").write_bytes(b"")
    with pytest.raises(LogCorruptError) as caught:
        Log(folder, ORIGIN).check()
    assert caught.value.file == "tile/0/0"


def test_a_wrong_checkpoint_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, 3)
    with pytest.raises(LogCorruptError):
        Log(folder, "other.example/log")
    with pytest.raises(LogCorruptError):
        Log(folder, ORIGIN, public_key=bytes(31) + b"\x07")
    flip(folder / "checkpoint", len(ORIGIN) + 4)
    with pytest.raises(LogCorruptError):
        Log(folder, ORIGIN)


def test_tiles_without_a_checkpoint_are_not_taken_for_a_new_log(tmp_path: Path) -> None:
    folder = written(tmp_path, 3)
    (folder / "checkpoint").unlink()
    with pytest.raises(LogCorruptError):
        Log(folder, ORIGIN, SIGNER)
    assert (folder / bundle_name(0, 3)).exists()


def test_a_checkpoint_that_went_back_is_refused_by_a_reader(tmp_path: Path) -> None:
    folder = written(tmp_path, 3)
    older = (folder / "checkpoint").read_bytes()
    grow(str(tmp_path), [4])
    reader = Log(folder, ORIGIN)
    (folder / "checkpoint").write_bytes(older)
    with pytest.raises(LogCorruptError):
        reader.refresh()


# Crashes


@pytest.mark.parametrize(
    "sizes", [[2, 255, 257], pytest.param([2, 255, 257, 600, 601], marks=pytest.mark.long)]
)
def test_a_kill_at_any_durable_step_leaves_a_log_that_goes_on(
    sizes: list[int], tmp_path: Path
) -> None:
    with KillAt("tests.support.logwork:grow") as tries:
        steps = tries.run([str(tmp_path), sizes])
        assert steps > 30 * len(sizes)
        for at in range(1, steps + 1):
            folder = tmp_path / str(at)
            folder.mkdir()
            tries.run([str(folder), sizes], at=at)
            check_after_crash(folder, sizes[-1] + 1)


def check_after_crash(folder: Path, size: int) -> None:
    noted = folder / "acknowledged"
    acknowledged = [int(line) for line in noted.read_text().split()] if noted.exists() else [0]
    seen = Log(folder / "log", ORIGIN, public_key=SIGNER.public_key)
    assert seen.size >= acknowledged[-1]
    assert seen.checkpoint().root == root_of(seen.size)
    seen.check()
    with Log(folder / "log", ORIGIN, SIGNER) as log:
        assert log.checkpoint() == seen.checkpoint()
        # Other entries than those that the crash may have left behind.
        log.append([entry(i, "other") for i in range(log.size, size)])
        log.check()
        assert log.entries(0, seen.size) == [entry(i) for i in range(seen.size)]
        for old in {*acknowledged, seen.size} - {size}:
            path = log.consistency_path(old)
            root = log.checkpoint().root
            merkle.verify_consistency(old, root_of(old), size, root, path)
