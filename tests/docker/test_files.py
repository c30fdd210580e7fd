# SPDX-License-Identifier: GPL-3.0-or-later
"""What the container files say agrees with the rest of the checkout, also where no engine runs."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from node.abci.process import MIN_VERSION
from tests.support.engine import DEBIAN, GO
from tests.support.tools import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = ("docker-compose.yml", "docs/province.yml")
COMET = re.compile(r"v0\.38\.[0-9]+")


def services(name: str) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())["services"]
    return value


def test_the_image_has_the_cometbft_that_the_node_takes_and_scripts_cometbft_builds() -> None:
    (ours,) = COMET.findall((ROOT / "scripts" / "cometbft").read_text())
    (image,) = COMET.findall(DOCKERFILE)
    assert image == ours
    assert tuple(map(int, image[1:].split("."))) >= MIN_VERSION


def test_the_image_has_every_room_and_nothing_that_is_kept_or_only_tests() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    rooms = set(built["targets"]["wheel"]["only-include"])
    lines = (ROOT / ".dockerignore").read_text().split()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines and "**/__pycache__" in lines
    assert all((ROOT / name).exists() for name in let_in)
    locks = {"requirements.lock", "requirements-web.lock"}
    assert let_in - rooms == locks | {"scripts/moneo", "scripts/healthy", "LICENSE"}
    assert {"api/web/dist", "api/web/node_modules", "api/web/test"} <= set(lines)
    assert not rooms - let_in


def test_the_bases_are_named_as_anybody_has_them_and_made_here_by_the_same_names() -> None:
    assert re.findall(r"^ARG (?:DEBIAN|GO)=(\S+)$", DOCKERFILE, re.M) == [DEBIAN, GO]
    froms = re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)
    assert froms == ["${GO}", "${DEBIAN}", "pip", "pip", "${DEBIAN}"]
    # What only BuildKit reads.
    assert "# syntax" not in DOCKERFILE
    assert "--mount" not in DOCKERFILE


def test_node_builds_what_browsers_load_by_its_locks_and_stays_behind() -> None:
    web = DOCKERFILE.partition("FROM pip AS web\n")[2].partition("\nFROM ")[0]
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    (wheel,) = re.findall(r"pip .*? install (?:.|\\\n)*?requirements-web\.lock", web)
    assert "--only-binary :all: --require-hashes" in wheel
    assert "npm ci --ignore-scripts" in web and "npm install" not in web
    assert "COPY --from=web /web/dist /opt/moneo/api/web/dist" in final
    assert "/node" not in final and "npm" not in final


@pytest.mark.parametrize("name", COMPOSE)
def test_nothing_runs_with_more_rights_than_it_needs_or_without_an_end(name: str) -> None:
    for service in services(name).values():
        assert (service["read_only"], service["cap_drop"], service["init"]) == (True, ["ALL"], True)
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "/" not in service["image"]
        assert not {"privileged", "user", "cap_add", "pid", "devices"} & set(service)
        if service["restart"] != "no":
            assert {"mem_limit", "cpus", "pids_limit", "logging", "stop_grace_period"} <= set(
                service
            )


def test_four_provinces_have_four_ports_and_a_volume_each_that_the_founding_fills() -> None:
    named = services("docker-compose.yml")
    founding = named.pop("founding")
    ports = [port for service in named.values() for port in service["ports"]]
    assert ports == [f"127.0.0.1:{8081 + number}:8080" for number in range(4)]
    volumes = [service["volumes"] for service in named.values()]
    assert volumes == [[f"{name}:/srv/moneo"] for name in named]
    assert founding["volumes"] == [f"{name}:/founding/{n}" for n, name in enumerate(named, start=1)]


def test_json_rpc_is_published_nowhere() -> None:
    for name in COMPOSE:
        for service in services(name).values():
            assert not [port for port in service.get("ports", ()) if "8545" in port]
