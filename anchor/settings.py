# SPDX-License-Identifier: GPL-3.0-or-later
"""One typed value says where a province keeps everything, so that no other module reads a setting.

The data folder holds `version`, `moneo.toml`, `node/`, `keys/`, `log/`, the database and
`trust.json`. The settings are read once, checked in full and passed down.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from anchor.durable import write_durably
from anchor.errors import AnchorError

VERSION = "1"
MAX_SETTINGS_BYTES = 64 * 1024
MAX_HOSTS = 16
SQLITE = "sqlite:///"
# The folder of the logs that followed the first.
LATER_LOGS = "logs"

# An origin is a schema-less URL with at least one path segment (C2SP tlog-checkpoint); a space or
# a plus would break the note's signature line.
_ORIGIN = re.compile(r"[a-z0-9][a-z0-9.-]{0,127}(/[A-Za-z0-9._~-]{1,64}){1,8}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]{1,253}):([0-9]{1,5})")

_PEER_LINE = re.compile(r"^peer *=.*$", re.MULTILINE)
_NODE_TABLE = re.compile(r"^\[node\] *$", re.MULTILINE)


class SettingsError(AnchorError):
    """The data folder or its moneo.toml can't be used; the text says what to do."""


@dataclass(frozen=True)
class Settings:
    """What one province's processes need to know.

    `data` is the folder itself; `origin` the log's name; `hosts` the names its pages are served
    under; `rpc` and `listen` are HOST:PORT; `interval` the least number of seconds between two
    anchors; `max_ahead` how many seconds a batch's claimed time may be ahead of our clock;
    `log_by` the seconds within which a receipt promises that the batch is in the log; `workers` how
    many processes answer HTTP; `peer` where CometBFT listens to other provinces' nodes (HOST:PORT),
    empty where the province's chain is its own. `log_number` says which of the province's logs
    `origin` names: the file has the first, what came later is in the database (anchor.epochs).
    """

    data: Path
    name: str
    origin: str
    hosts: tuple[str, ...] = ()
    rpc: str = "127.0.0.1:8545"
    interval: float = 2.0
    database: str = "sqlite:///moneo.db"
    max_ahead: int = 300
    log_by: int = 86_400
    listen: str = "127.0.0.1:8080"
    public_url: str = "http://127.0.0.1:8080"
    workers: int = 2
    peer: str = ""
    log_number: int = 1

    @property
    def node_home(self) -> Path:
        """Where the node keeps its genesis, key and chain."""
        return self.data / "node"

    @property
    def log_path(self) -> Path:
        """The folder with the log's checkpoint and tiles, servable as it is."""
        if self.log_number == 1:
            return self.data / "log"
        return self.data / LATER_LOGS / str(self.log_number)

    @property
    def member_key(self) -> Path:
        """The file with the member's secp256k1 key, which pays for nothing but signs everything."""
        return self.data / "keys" / "member.key"

    @property
    def log_key(self) -> Path:
        """The file with the log's Ed25519 key, which signs checkpoints and receipts."""
        later = f"-{self.log_number}" if self.log_number > 1 else ""
        return self.data / "keys" / f"log{later}.key"

    @property
    def server_key(self) -> Path:
        """The file with the server's own secret, which keys HMACs and signs nothing for others."""
        return self.data / "keys" / "server.key"

    @property
    def custody(self) -> Path:
        """The folder of the issuer keys that the province keeps for businesses."""
        later = f"-{self.log_number}" if self.log_number > 1 else ""
        return self.data / "keys" / f"custody{later}"

    @property
    def trust_path(self) -> Path:
        """The trust file, made once the node has a light block for its genesis."""
        return self.data / "trust.json"

    @property
    def pilot(self) -> Path:
        """What the province's own chain has left behind, where its log has gone to a consortium's."""
        return self.data / "pilot"

    @property
    def pilot_trust_path(self) -> Path:
        """The trust file of that chain, for evidence that was given out before."""
        return self.pilot / "trust.json"

    @property
    def rpc_url(self) -> str:
        """The node's JSON-RPC as a URL."""
        return self.rpc if "://" in self.rpc else f"http://{self.rpc}"

    @property
    def database_url(self) -> str:
        """The database as SQLAlchemy wants it; a relative SQLite path is below the data folder."""
        if not self.database.startswith(SQLITE):
            return self.database
        return SQLITE + str((self.data / self.database.removeprefix(SQLITE)).absolute())


def _text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _origin(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 200 and bool(_ORIGIN.fullmatch(value))


def is_origin(value: str) -> bool:
    """Whether a text can be a log's name."""
    return _origin(value)


def _hosts(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_HOSTS
        and all(isinstance(host, str) and _HOST.fullmatch(host) for host in value)
    )


def _address(value: object) -> bool:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    return bool(match) and 0 < int(match[2]) < 65536 if match else False


def _peer(value: object) -> bool:
    return value == "" or _address(value)


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _rpc(value: object) -> bool:
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return bool(_parts(value).netloc)
    return _address(value)


def _url(value: object) -> bool:
    if not isinstance(value, str) or not value.isprintable():
        return False
    parts = _parts(value)
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _database(value: object) -> bool:
    return isinstance(value, str) and "://" in value and value.isprintable()


def _seconds(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and 0.05 <= value <= 86_400


def _whole_seconds(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 31 * 86_400


def _few(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 32


_LINE = ("một dòng chữ", "one line of text")
_NAME = ("tên như example.vn/camau/2026", "a name such as example.vn/camau/2026")
_HOST_NAMES = ("danh sách tên máy chủ", "a list of host names")
_HOST_PORT = ("HOST:PORT", "HOST:PORT")
_PEER = ("HOST:PORT, hoặc để trống", "HOST:PORT, or empty")
_PAUSE = ("số giây, từ 0.05 đến 86400", "seconds, 0.05 to 86400")
_DATABASE_URL = ("URL của cơ sở dữ liệu", "a database URL")
_DAYS = ("số giây nguyên, nhiều nhất 31 ngày", "whole seconds, up to 31 days")
_COUNT = ("số nguyên từ 1 đến 32", "a whole number from 1 to 32")
_WEB_URL = ("URL http hoặc https", "an http or https URL")
# (table, key) -> (field of Settings, check, what it has to be); a key without default is required.
_KEYS = {
    ("province", "name"): ("name", _text, _LINE),
    ("province", "origin"): ("origin", _origin, _NAME),
    ("province", "hosts"): ("hosts", _hosts, _HOST_NAMES),
    ("node", "rpc"): ("rpc", _rpc, _HOST_PORT),
    ("node", "peer"): ("peer", _peer, _PEER),
    ("anchor", "interval"): ("interval", _seconds, _PAUSE),
    ("anchor", "database"): ("database", _database, _DATABASE_URL),
    ("anchor", "max_ahead"): ("max_ahead", _whole_seconds, _DAYS),
    ("anchor", "log_by"): ("log_by", _whole_seconds, _DAYS),
    ("api", "listen"): ("listen", _address, _HOST_PORT),
    ("api", "public_url"): ("public_url", _url, _WEB_URL),
    ("api", "workers"): ("workers", _few, _COUNT),
}
_REQUIRED = (("province", "name"), ("province", "origin"))


def load(data: Path) -> Settings:
    """Settings of the data folder `data`; SettingsError if it is of another version or wrong."""
    version = _read(data / "version").decode("ascii", "replace").strip()
    if version != VERSION:
        raise SettingsError(
            "thư mục dữ liệu thuộc phiên bản khác: hãy dùng chương trình đã tạo ra nó, hoặc thư "
            f"mục khác · {data} is a data folder of version {version!r} and this program reads version "
            f"{VERSION}: use the program that made it, or another folder"
        )
    try:
        tables = tomllib.loads(_read(data / "moneo.toml").decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"tệp cấu hình không đúng dạng TOML · {data / 'moneo.toml'} is not TOML: {error}"
        ) from error
    return _settings(data, tables)


def write(settings: Settings) -> None:
    """Found the data folder of `settings`: its folders, `moneo.toml`, and `version` last.

    SettingsError if there is a data folder already, or if a value would not be read back.
    """
    data = settings.data
    if (data / "version").exists():
        raise SettingsError(f"đã có thư mục dữ liệu ở đây · {data} is a data folder already")
    text = _dump(settings)
    _settings(data, tomllib.loads(text))
    for folder in (data, data / "keys"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(data / "moneo.toml", text.encode())
    write_durably(data / "version", f"{VERSION}\n".encode())


def set_peer(settings: Settings, peer: str) -> None:
    """Write `[node] peer` into moneo.toml, and leave all else in it as its operator wrote it.

    SettingsError if the file would not be read back as just that.
    """
    path = settings.data / "moneo.toml"
    text = _read(path).decode("utf-8")
    line = f"peer = {json.dumps(peer)}"
    if _PEER_LINE.search(text):
        text = _PEER_LINE.sub(line, text, count=1)
    elif _NODE_TABLE.search(text):
        text = _NODE_TABLE.sub(lambda found: f"{found[0]}\n{line}", text, count=1)
    else:
        text += f"\n[node]\n{line}\n"
    try:
        written = _settings(settings.data, tomllib.loads(text))
    except ValueError:
        written = None
    if written != replace(settings, peer=peer):
        raise SettingsError(
            f"moneo.toml: hãy tự ghi {line} dưới [node] · write {line} under [node] yourself"
        )
    write_durably(path, text.encode())


def _settings(data: Path, tables: Mapping[str, Any]) -> Settings:
    values: dict[str, Any] = {}
    for table, entries in tables.items():
        if not isinstance(entries, dict):
            raise SettingsError(f"moneo.toml: cần một bảng · {table} is not a table")
        for key, value in entries.items():
            if (table, key) not in _KEYS:
                raise SettingsError(f"moneo.toml: mục lạ · [{table}] {key} is unknown")
            field, check, wanted = _KEYS[table, key]
            if not check(value):
                raise SettingsError(
                    f"moneo.toml: [{table}] {key} phải là {wanted[0]} · "
                    f"[{table}] {key} has to be {wanted[1]}"
                )
            values[field] = tuple(value) if isinstance(value, list) else value
    for table, key in _REQUIRED:
        if _KEYS[table, key][0] not in values:
            raise SettingsError(f"moneo.toml: thiếu mục · [{table}] {key} is missing")
    return Settings(data=data, **values)


def _dump(settings: Settings) -> str:
    lines: list[str] = []
    for (table, key), (field, _, _) in _KEYS.items():
        if f"[{table}]" not in lines:
            lines += ["", f"[{table}]"] if lines else [f"[{table}]"]
        value = getattr(settings, field)
        # JSON's strings, lists and numbers of these kinds are TOML's too.
        value = list(value) if isinstance(value, tuple) else value
        lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SETTINGS_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"không đọc được cấu hình · {path} can't be read: {error.strerror}"
        ) from error
    if len(content) > MAX_SETTINGS_BYTES:
        raise SettingsError(
            f"tệp cấu hình quá dài · {path} is longer than {MAX_SETTINGS_BYTES} bytes"
        )
    return content
