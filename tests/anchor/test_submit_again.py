# SPDX-License-Identifier: GPL-3.0-or-later
"""A business's own machine makes up for what a province has lost, over HTTP, and follows nobody else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import typer
import uvicorn

from anchor import cli, outbox
from anchor.keys import create_private_key, request
from anchor.settings import Settings
from api.app import create_app
from api.organisations import Organisations
from tests.support.anchoring import province_of, wait_until
from tests.support.site import new_settings

ROW = "stage,time,product,gtin,lot\nshipping,2026-01-02,Cua,09520001000034,{}\n"


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """Serve a province's pages and doors on a free port, in a thread."""
    config = uvicorn.Config(create_app(settings), port=0, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def join_in(settings: Settings, base: Path) -> str:
    """Give a business in `base` a key that the province knows; return its token."""
    with province_of(settings) as province:
        known = Organisations(province.store.engine, province.origin)
        issuer = known.add_organisation("HTX", ["/01/0952"])
        path = outbox.key_path(base, issuer)
        path.parent.mkdir(parents=True)
        create_private_key(path)
        signer = outbox.Outbox(base, issuer).signer
        path.with_suffix(".request").write_bytes(request(signer))
        member = known.by_name("HTX")
        province.add_issuer(member.id, request(signer), "holder", ["/01/0952"], "HTX")
        return known.new_token("HTX").secret


def sequence(settings: Settings) -> list[int]:
    with province_of(settings) as province:
        return [province.status(b.batch).seq for b in province.batches_after(0, 100)]


def test_batches_that_a_province_has_lost_are_sent_again_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, base = new_settings(tmp_path / "var"), tmp_path / "home"
    monkeypatch.setenv("MONEO_HOME", str(base))
    monkeypatch.setenv("MONEO_LANG", "en")
    token = join_in(settings, base)

    def submit(lot: str) -> None:
        diary = tmp_path / f"{lot}.csv"
        diary.write_text(ROW.format(lot))
        with served(settings) as url:
            cli.batch_submit(diary, url, token)

    submit("A")
    shutil.copytree(settings.data, tmp_path / "older")
    submit("B")
    submit("C")
    receipts = {path: path.read_bytes() for path in base.rglob("*.receipt")}
    shutil.rmtree(settings.data)
    shutil.copytree(tmp_path / "older", settings.data)
    assert "has lost" not in capsys.readouterr().err
    submit("D")
    assert "has lost 2 batches" in capsys.readouterr().err
    assert sequence(settings) == [0, 1, 2, 3]
    assert all(path.read_bytes() == receipt for path, receipt in receipts.items())
    assert len(list(base.rglob("*.receipt"))) == 4
    # Another machine with a copy of the key lacks the batches: it sends nothing.
    shutil.rmtree(base / "batches")
    with pytest.raises(typer.Exit) as refused:
        submit("E")
    assert refused.value.exit_code == 1
    assert "expects batch 4, this machine holds batch 0" in capsys.readouterr().err
    assert sequence(settings) == [0, 1, 2, 3]
