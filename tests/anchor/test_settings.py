# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings are read back as they were written, or refused in one sentence that names the key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anchor.settings import Settings, SettingsError, load, write

WHOLE = Settings(
    Path(),
    "Cà Mau (bản thử)",
    "moneo.example/camau/2026",
    hosts=("moneo.example", "127.0.0.1:8080"),
    rpc="127.0.0.1:9545",
    interval=0.5,
    database="sqlite:///other.db",
    max_ahead=60,
    log_by=3600,
    listen="[::1]:8081",
    public_url="https://moneo.example/x",
    peer="0.0.0.0:26656",
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    settings = replace(WHOLE, data=tmp_path / "data")
    write(settings)
    assert load(tmp_path / "data") == settings


def test_places_lie_in_the_data_folder(tmp_path: Path) -> None:
    settings = replace(WHOLE, data=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/other.db"
    assert settings.rpc_url == "http://127.0.0.1:9545"
    places = (settings.node_home, settings.log_path, settings.member_key, settings.trust_path)
    assert all(place.is_relative_to(tmp_path) for place in places)


def test_another_database_is_left_as_it_is() -> None:
    url = "postgresql+psycopg://moneo@db/moneo"
    assert replace(WHOLE, database=url).database_url == url


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("name", "", "[province] name"),
        ("name", "two\nlines", "[province] name"),
        ("origin", "no-path", "[province] origin"),
        ("origin", "a/b c", "[province] origin"),
        ("hosts", ("a b",), "[province] hosts"),
        ("hosts", ("a",) * 17, "[province] hosts"),
        ("rpc", "127.0.0.1", "[node] rpc"),
        ("peer", "127.0.0.1", "[node] peer"),
        ("interval", 0.0, "[anchor] interval"),
        ("database", "moneo.db", "[anchor] database"),
        ("max_ahead", 0, "[anchor] max_ahead"),
        ("log_by", 10**9, "[anchor] log_by"),
        ("listen", "127.0.0.1:99999", "[api] listen"),
        ("public_url", "ftp://x", "[api] public_url"),
    ],
)
def test_a_value_that_can_not_be_is_refused_before_anything_is_written(
    tmp_path: Path, field: str, value: Any, named: str
) -> None:
    settings = replace(WHOLE, data=tmp_path / "data", **{field: value})
    with pytest.raises(SettingsError, match=named.replace("[", r"\[")):
        write(settings)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", "x is not a table"),
        ("[province]\nname = 'a'", "origin is missing"),
        ("[province]\nname = 'a'\norigin = 'a/b'\ncolour = 'red'", "colour is unknown"),
        ("[anchor]\ninterval = true", "interval has to be"),
        ("[", "is not TOML"),
        ("# " + "x" * 70_000, "longer than"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "version").write_text("1\n")
    (tmp_path / "moneo.toml").write_text(text)
    with pytest.raises(SettingsError, match=said):
        load(tmp_path)


def test_another_version_and_a_missing_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        load(tmp_path)
    (tmp_path / "version").write_text("2\n")
    with pytest.raises(SettingsError, match="version '2'"):
        load(tmp_path)


def test_a_data_folder_is_not_founded_twice(tmp_path: Path) -> None:
    settings = replace(WHOLE, data=tmp_path)
    write(settings)
    with pytest.raises(SettingsError, match="already"):
        write(settings)
