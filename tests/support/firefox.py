# SPDX-License-Identifier: GPL-3.0-or-later
"""A second engine for tests: Debian's Firefox, driven by WebDriver BiDi (https://www.w3.org/TR/webdriver-bidi/).

It listens by itself, so that nothing is needed but a WebSocket.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from tests.support.province import free_addresses, wait_until
from tests.support.tools import missing

SECONDS = 120
# Nothing is asked of the network that the page does not ask for.
PREFERENCES = {
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.enabled": False,
    "app.normandy.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
}


class Firefox:
    """One page in Firefox; `complaints` is what its console said."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._count = socket, 0
        self.complaints: list[str] = []
        self._ask("session.new", capabilities={})
        self._ask("session.subscribe", events=["log.entryAdded"])
        self._page = self._ask("browsingContext.getTree")["contexts"][0]["context"]

    def _ask(self, method: str, **params: Any) -> Any:
        self._count += 1
        self._socket.send(json.dumps({"id": self._count, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(SECONDS))
            if said.get("method") == "log.entryAdded":
                self.complaints.append(str(said["params"]["text"]))
            if said.get("id") == self._count:
                assert said["type"] == "success", said
                return said["result"]

    def open(self, url: str) -> None:
        """Open a page and wait until it has loaded."""
        self._ask("browsingContext.navigate", context=self._page, url=url, wait="complete")

    def look(self, expression: str) -> Any:
        """Return the value of an expression in the page, which JSON can hold."""
        return json.loads(self._run(f"Promise.resolve({expression}).then(JSON.stringify)")["value"])

    def choose(self, selector: str, *files: Path) -> None:
        """Choose files as a person would."""
        node = self._run(f"document.querySelector({json.dumps(selector)})")
        element, names = {"sharedId": node["sharedId"]}, [str(file) for file in files]
        self._ask("input.setFiles", context=self._page, element=element, files=names)

    def wait(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        wait_until(expression, lambda: self.look(f"Boolean({expression})") is True, SECONDS)

    def _run(self, expression: str) -> Any:
        target = {"context": self._page}
        said = self._ask("script.evaluate", expression=expression, target=target, awaitPromise=True)
        assert said["type"] == "success", said
        return said["result"]


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """Open Firefox with a new profile in `folder`; where there is none, skip and say how to get it."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if not program:
        raise missing("Firefox is not there; get it by: apt-get install firefox-esr")
    (folder / "profile").mkdir()
    preferences = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in PREFERENCES.items()]
    (folder / "profile" / "user.js").write_text("\n".join(preferences))
    port = free_addresses(1)[0].rpartition(":")[2]
    command = [program, "--headless", "--no-remote", "--profile", str(folder / "profile")]
    with (folder / "firefox.log").open("wb") as log:
        running = subprocess.Popen(
            [*command, "--remote-debugging-port", port, "about:blank"],
            env={**os.environ, "HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
        try:
            with _connected(f"ws://127.0.0.1:{port}/session") as socket:
                yield Firefox(socket)
        finally:
            running.terminate()
            running.wait(SECONDS)


def _connected(url: str) -> ClientConnection:
    """Connect as soon as it listens."""
    made: list[ClientConnection] = []

    def listens() -> bool:
        try:
            made.append(connect(url, max_size=None, proxy=None))
        except (OSError, WebSocketException):
            return False
        return True

    wait_until("Firefox listens", listens, SECONDS)
    return made[0]
