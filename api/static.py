# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves what browsers load: style and icons of web/static, and the scripts that are built into web/dist.

`scripts/web` builds the scripts and lists them in web/dist/manifest.json; where it has not, the pages stand
there without scripts. All is read once. A name that holds a hash of its content is kept for ever; beside
the content lies what it is in other content codings (RFC 9110 §12.5.3), for whoever accepts them.
"""

import gzip
import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastapi
from fastapi import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from api.words import preferences

WEB = Path(__file__).parent / "web"
FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
DAY = {"Cache-Control": "public, max-age=86400"}
KINDS: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
}
# The smallest first: of these a client gets the first that it accepts.
CODINGS: Mapping[str, str] = {"br": ".br", "gzip": ".gz"}
WORTH_PACKING = 1000
_HASHED = re.compile(r"/static/.+\.[0-9A-Za-z]{8,16}\.[a-z]+", re.ASCII)

log = logging.getLogger("moneo.api")
router = fastapi.APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class File:
    """Bytes, their media type, and what they are in other content codings."""

    body: bytes
    kind: str
    packed: Mapping[str, bytes]


@dataclass(frozen=True)
class Assets:
    """The files by their addresses, the addresses by the names that templates use.

    `imports` has the scripts without which a script does not begin, by its name. `worker` is the service
    worker of /verify, which stands at an address there; empty without a build.
    """

    files: Mapping[str, File]
    names: Mapping[str, str]
    imports: Mapping[str, tuple[str, ...]]
    worker: bytes

    @classmethod
    def open(cls, web: Path = WEB) -> "Assets":
        """Read all that lies there."""
        files, names, built = {}, {}, web / "dist"
        for path in sorted((web / "static").iterdir()):
            names[path.name], files[names[path.name]] = _drawn(path)
        manifest = _manifest(built)
        imports = {name: tuple(map(_address, of)) for name, of in manifest["imports"].items()}
        names |= {name: _address(file) for name, file in manifest["files"].items()}
        needed = (address for each in imports.values() for address in each)
        for address in {*names.values(), *needed} - files.keys():
            files[address] = _built(built / Path(address).name)
        worker = files.pop(names.pop("worker", ""), None)
        return cls(files, names, imports, worker.body if worker else b"")

    def of_page(self, script: str) -> dict[str, Any]:
        """Return what the template of a page with that script says: `script` is "" without a build."""
        found = {"script": self.names.get(script, ""), "imports": self.imports.get(script, ())}
        return {**self.names, **found}


def _manifest(built: Path) -> Any:
    try:
        return json.loads((built / "manifest.json").read_bytes())
    except FileNotFoundError:
        log.warning("the browser's side is not built: pages have no scripts; run scripts/web")
        return {"files": {}, "imports": {}}


def _drawn(path: Path) -> tuple[str, File]:
    """Return address and content of a file that stands in the checkout as it is served."""
    body = path.read_bytes()
    packed = {"gzip": gzip.compress(body, mtime=0)}
    name = path.name
    if path.suffix == ".css":
        name = f"{path.stem}.{hashlib.sha256(body).hexdigest()[:16]}.css"
    return _address(name), File(body, KINDS[path.suffix], packed)


def _built(path: Path) -> File:
    beside = {coding: path.with_name(path.name + end) for coding, end in CODINGS.items()}
    packed = {coding: file.read_bytes() for coding, file in beside.items() if file.exists()}
    return File(path.read_bytes(), KINDS[path.suffix], packed)


def _address(name: str) -> str:
    return f"/static/{name}"


@router.get("/static/{name}")
def static(request: Request, name: str) -> Response:
    """Return a file that a page loads."""
    assets: Assets = request.app.state.moneo.assets
    address = _address(name)
    if address not in assets.files:
        raise HTTPException(404)
    file = assets.files[address]
    headers = {**(FOREVER if _HASHED.fullmatch(address) else DAY), "Vary": "Accept-Encoding"}
    for coding, body in file.packed.items():
        if accepts(request, coding):
            headers["Content-Encoding"] = coding
            return Response(body, media_type=file.kind, headers=headers)
    return Response(file.body, media_type=file.kind, headers=headers)


def packed(request: Request, response: Response) -> Response:
    """Return a response as it is, or compressed if that is worth it and the client accepts it.

    For what is public. A page that holds a secret beside what somebody else chose must not come through
    here: how small the two get together would tell of the secret.
    """
    response.headers.add_vary_header("Accept-Encoding")
    if len(response.body) < WORTH_PACKING or not accepts(request, "gzip"):
        return response
    response.body = gzip.compress(response.body, 6, mtime=0)
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Content-Length"] = str(len(response.body))
    if etag := response.headers.get("ETag"):
        # Other bytes have another strong validator (RFC 9110 §8.8.3.3).
        response.headers["ETag"] = f'{etag[:-1]}-gzip"'
    return response


def accepts(request: Request, coding: str) -> bool:
    """Return whether the client takes a content coding by that name."""
    return preferences(request.headers.get("accept-encoding", "")).get(coding, 0.0) > 0
