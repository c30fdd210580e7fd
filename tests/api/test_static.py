# SPDX-License-Identifier: GPL-3.0-or-later
"""What browsers load: names that hold a hash are kept for ever, each client gets the coding it takes."""

import gzip
import json
import re
from pathlib import Path

import pytest

from anchor.settings import Settings
from api.static import WEB, Assets
from tests.support.site import BOX, Site, diary, open_site
from tests.support.tools import built

BROWSER = {"Accept": "text/html"}
NO_CODING = {"Accept-Encoding": "identity"}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of two scripts, one of which begins with the other, and a service worker."""
    folder = tmp_path_factory.mktemp("web")
    (folder / "static").mkdir()
    (folder / "static" / "moneo.css").write_text("h1 { color: red }\n" * 100)
    (folder / "dist").mkdir()
    files = {"product": "product.ABCDEFGH.js", "worker": "worker.js", "licenses": "LICENSES.txt"}
    imports = {"product": ["shared.HGFEDCBA.js"], "worker": []}
    for name in (*files.values(), "shared.HGFEDCBA.js"):
        (folder / "dist" / name).write_text(f"// {name}")
    (folder / "dist" / "product.ABCDEFGH.js.gz").write_bytes(gzip.compress(b"// packed"))
    (folder / "dist" / "secret.txt").write_text("not in the manifest")
    (folder / "dist" / "manifest.json").write_text(json.dumps({"files": files, "imports": imports}))
    return folder


@pytest.fixture(scope="module")
def served(web: Path, site: Site) -> Site:
    """The province's application with that build; its pages are those of the real one."""
    object.__setattr__(site.app.state.moneo, "assets", Assets.open(web))
    return site


def test_a_page_is_told_its_script_and_what_that_begins_with(web: Path) -> None:
    said = Assets.open(web).of_page("product")
    assert said["script"] == "/static/product.ABCDEFGH.js"
    assert said["imports"] == ("/static/shared.HGFEDCBA.js",)
    assert Assets.open(web).of_page("verify")["script"] == ""


def test_without_a_build_there_are_style_and_icons_and_the_pages_stand(
    web: Path, tmp_path: Path
) -> None:
    (tmp_path / "static").symlink_to(web / "static")
    assets = Assets.open(tmp_path)
    assert list(assets.names) == ["moneo.css"] and assets.worker == b""
    assert assets.of_page("product")["script"] == ""


def test_a_name_with_a_hash_is_kept_for_ever_and_any_other_for_a_day(served: Site) -> None:
    css = Assets.open(WEB).names["moneo.css"]
    assert re.fullmatch(r"/static/moneo\.[0-9a-f]{16}\.css", css)
    for path, kept in (
        ("/static/product.ABCDEFGH.js", "public, max-age=31536000, immutable"),
        ("/static/LICENSES.txt", "public, max-age=86400"),
    ):
        answer = served.browser.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, kept)
        assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("gzip;q=0", None),
        ("br", None),
        ("identity", None),
        ("", None),
    ],
)
def test_a_client_gets_a_coding_that_it_takes_and_that_there_is(
    served: Site, accepted: str, coding: str | None
) -> None:
    answer = served.browser.get(
        "/static/product.ABCDEFGH.js", headers={"Accept-Encoding": accepted}
    )
    assert answer.headers.get("content-encoding") == coding
    assert answer.text == ("// packed" if coding else "// product.ABCDEFGH.js")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    "name", ["secret.txt", "manifest.json", "worker.js", "product.ABCDEFGH.js.gz", "..%2fdist%2fx"]
)
def test_what_the_build_does_not_name_is_not_served(served: Site, name: str) -> None:
    assert served.browser.get(f"/static/{name}").status_code == 404


def test_pages_and_evidence_are_compressed_for_whoever_takes_that(fresh: Settings) -> None:
    with open_site(fresh) as site:
        coop = site.business("HTX Cua", ["/01/0952"])
        site.submit(coop, *diary())
        plain = site.browser.get(BOX, headers={**BROWSER, **NO_CODING})
        packed = site.browser.get(BOX, headers={**BROWSER, "Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["vary"]
        assert "Accept-Language" in answer.headers["vary"]
    assert packed.text.count("<li") == plain.text.count("<li")


def test_what_holds_a_secret_is_never_compressed(site: Site) -> None:
    answer = site.browser.get("/upload", headers={**BROWSER, "Accept-Encoding": "gzip"})
    assert answer.status_code == 200 and "content-encoding" not in answer.headers


# The page that checks


def test_without_a_build_the_page_that_checks_says_what_to_do(served: Site) -> None:
    answer = served.browser.get("/verify")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
    assert "scripts/web" in answer.json()["detail"]


def test_the_page_that_checks_may_use_the_camera_and_nothing_else_may(fresh: Settings) -> None:
    built()
    with open_site(fresh) as site:
        answers = {path: site.browser.get(path) for path in ("/verify", "/verify/worker.js", "/")}
        said = site.browser.get("/verify/app.webmanifest")
        icons = [site.browser.get(icon["src"]) for icon in said.json()["icons"]]
    assert [answer.status_code for answer in answers.values()] == [200, 200, 200]
    for path, answer in answers.items():
        scripted = path != "/"
        policy, rights = (
            answer.headers[name] for name in ("content-security-policy", "permissions-policy")
        )
        assert ("camera=(self)" in rights) == scripted
        assert ("wasm-unsafe-eval" in policy) == scripted
        assert "default-src 'none'" in policy and "unsafe-inline" not in policy
    worker = answers["/verify/worker.js"]
    assert worker.headers["service-worker-allowed"] == "/verify"
    assert worker.headers["cache-control"] == "no-cache"
    assert worker.headers["content-type"] == "text/javascript; charset=utf-8"
    assert said.headers["content-type"] == "application/manifest+json"
    assert (said.json()["scope"], said.json()["start_url"]) == ("/verify", "/verify")
    assert [icon.headers["content-type"] for icon in icons] == ["image/png"] * 3


def test_the_build_has_every_page_its_licences_and_a_verifier_of_bounded_size() -> None:
    folder = built()
    assets = Assets.open(folder.parent)
    for name in ("product", "verify", "scanner"):
        page = assets.of_page(name)
        assert page["script"] in assets.files
        assert all(path in assets.files for path in page["imports"])
    needed = assets.of_page("verify")
    paths = [needed["script"], *needed["imports"]]
    assert sum(len(assets.files[path].packed["gzip"]) for path in paths) < 60_000
    said = assets.files["/static/LICENSES.txt"].body.decode()
    for library in ("@noble/curves", "@noble/hashes", "zxing-wasm", "Apache License"):
        assert library in said
