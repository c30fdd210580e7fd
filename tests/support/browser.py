# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser for tests: Debian's Chromium, what it must not do, and how a page stands there.

Nothing a page does may pass unnoticed: every message of the console, every error, every request that fails or goes
to another host is a complaint, and a visit ends with none.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, Request, expect, sync_playwright

from api.texts import TEXTS
from api.words import Language
from tests.support.tools import chromium, node_packages

# Chromium asks nothing of its own of the network.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
)
SCREENS: dict[str, dict[str, Any]] = {
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    "desktop": {"viewport": {"width": 1280, "height": 800}},
}
# The narrowest screen of WCAG 2.2 §1.4.10, a phone, a desktop.
WIDTHS = (320, 390, 1280)
LANGUAGES: tuple[Language, ...] = ("vi", "en")
# A machine that does much else at once is slow, not wrong.
PATIENCE_MS = 60_000


@contextmanager
def playing() -> Iterator[Playwright]:
    """Start what drives browsers; there is one of it at a time, and it may open several."""
    chromium()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        yield playwright


@contextmanager
def opened(playwright: Playwright, *flags: str) -> Iterator[Browser]:
    """Open Chromium, with flags besides; where there is none, skip and say how to get it."""
    program = chromium()
    made = playwright.chromium.launch(executable_path=program, args=[*QUIET, *flags])
    try:
        yield made
    finally:
        made.close()


@dataclass
class Person:
    """One person's browser at one site, and everything that it did which it must not."""

    url: str
    page: Page
    language: Language
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what the browser complains of, and whom it asks."""
        self.page.on("console", lambda said: self.complaints.append(f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self._fail)
        self.page.on("request", lambda it: self._ask(it.url))

    def _ask(self, url: str) -> None:
        # What is made of bytes in the page itself is asked of nobody.
        if urlsplit(url).netloc != urlsplit(self.url).netloc and not url.startswith("blob:"):
            self.complaints.append(f"asked elsewhere: {url}")

    def _fail(self, request: Request) -> None:
        # A navigation that turns out to be a download is given up by the page, not by the person.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url}: {request.failure}")

    def open(self, path: str) -> None:
        """Open a page in this person's language; a fragment stays at the end."""
        address, mark, fragment = path.partition("#")
        joint = "&" if "?" in address else "?"
        self.page.goto(f"{self.url}{address}{joint}lang={self.language}{mark}{fragment}")

    def say(self, key: str) -> str:
        """Return a wording of the pages in this person's language."""
        return TEXTS[key].pick(self.language)

    def press(self, key: str) -> None:
        """Press the button of that wording."""
        self.page.get_by_role("button", name=self.say(key)).click()


@contextmanager
def visit(
    browser: Browser, url: str, language: Language, screen: str, **more: Any
) -> Iterator[Person]:
    """Open a browser for one person; at the end it must have had nothing to complain of."""
    context = browser.new_context(locale=language, **SCREENS[screen], **more)
    try:
        made = Person(url, context.new_page(), language)
        made.watch()
        yield made
        assert not made.complaints, made.complaints
    finally:
        context.close()


# How a page stands there

# What is read with the naked eye: text whose contrast is below WCAG 2.2 §1.4.3 (AA), and what a finger
# misses (§2.5.8: 24 px, and 44 px for what is pressed to send; links within a text are excepted).
FAULTS = """
() => {
  const rgb = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (at) => { for (; at; at = at.parentElement) { const c = rgb(getComputedStyle(at).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const faults = [];
  if (document.documentElement.scrollWidth > innerWidth) faults.push("scrolls sideways");
  for (const at of document.querySelectorAll("body *")) {
    const style = getComputedStyle(at), box = at.getBoundingClientRect(), words = at.textContent.trim().slice(0, 40);
    if (!box.width || !at.checkVisibility()) continue;
    if ([...at.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) {
      const [a, b] = [light(rgb(style.color)), light(behind(at))].sort((x, y) => y - x);
      const large = parseFloat(style.fontSize) >= (style.fontWeight >= 700 ? 18.66 : 24);
      if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) faults.push(`contrast ${((a + 0.05) / (b + 0.05)).toFixed(2)}: ${words}`);
    }
    if (at.matches("a, button, summary, input:not([type=hidden])") && !at.matches(".skip, p:not(.actions):not(.foot) > a")) {
      const least = at.matches("main .find *, main .actions *") ? 44 : 24;
      const target = at.closest("label") || at;
      if (target.getBoundingClientRect().height < least) faults.push(`${box.height.toFixed(0)} px high: ${words || at.id}`);
    }
  }
  return faults;
}
"""
STOPS = "a, button, summary, input:not([type=hidden])"
FOCUS = """
(stops) => {
  const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
  const seen = box.right > 0 && box.left < innerWidth && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return [[...document.querySelectorAll(stops)].indexOf(at), seen];
}
"""
# Level A and AA of WCAG 2.0 to 2.2, and what axe holds to be good practice.
_AXE = """
async () => {
  const found = await axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]});
  return found.violations.map((one) => [one.id, one.nodes.map((node) => node.target.join(" "))]);
}
"""


def axe(page: Page) -> list[Any]:
    """Return what axe-core finds wrong with a page: [rule, elements] of each violation."""
    # Evaluated by the debugger: a policy of the page has no say in it, and none is loosened.
    source = node_packages() / "node_modules" / "axe-core" / "axe.min.js"
    page.evaluate(source.read_text())
    found: list[Any] = page.evaluate(_AXE)
    return found


# What a camera sees


def clip(path: Path, pictures: Sequence[Image.Image], size: tuple[int, int] = (640, 480)) -> str:
    """Write pictures as a video that Chromium takes for a camera; return the flag that says so.

    MJPEG is JPEGs one after another; each picture stands in the middle of a white frame.
    """
    with path.open("wb") as out:
        for picture in pictures:
            frame = Image.new("RGB", size, "white")
            frame.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
            data = io.BytesIO()
            frame.save(data, "JPEG", quality=90)
            out.write(data.getvalue())
    return f"--use-file-for-fake-video-capture={path}"


CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
