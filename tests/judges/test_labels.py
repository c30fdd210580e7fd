# SPDX-License-Identifier: GPL-3.0-or-later
"""zxing-cpp reads the QR codes that our pages draw, as print and camera leave them; we understand the codes it draws."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image, ImageDraw, ImageFilter
from playwright.sync_api import sync_playwright

from anchor.codes import CodeError, from_digital_link, parse_code, parse_path
from anchor.photo import read_labels
from tests.support.judging import ask_ours
from tests.support.site import PUBLIC_URL, Site, new_settings, open_site
from tests.support.tools import chromium

PATHS = (
    "/01/09521234543213",
    "/01/09521234543213/10/LO-1",
    "/01/09521234543213/10/A%2FB%25/21/0001",
    "/c/camau/ao-7/2026.09",
)
QUIET_MODULES = 4


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(new_settings(tmp_path_factory.mktemp("site"))) as opened:
        yield opened


def drawn(site: Site, path: str, kind: str) -> bytes:
    answer = site.browser.get(f"{path}/qr.{kind}")
    assert answer.status_code == 200
    return answer.content


def picture(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("L")


def read(image: Image.Image) -> list[zxingcpp.Barcode]:
    return list(zxingcpp.read_barcodes(image))


@pytest.mark.parametrize("path", PATHS)
def test_the_png_for_print_is_read(path: str, site: Site) -> None:
    image = picture(drawn(site, path, "png"))
    (code,) = read(image)
    assert (str(code.format), code.ec_level) == ("QR Code", "M")
    assert code.text == PUBLIC_URL + path
    assert from_digital_link(code.text) == parse_path(path)
    # GS1 asks for four modules of white on each side; the symbol itself begins with a black one.
    box = Image.eval(image, lambda shade: 255 - shade).getbbox()
    assert box is not None
    assert min(box[0], box[1], image.width - box[2], image.height - box[3]) == QUIET_MODULES * 12


@pytest.fixture(scope="module")
def screen() -> Iterator[object]:
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield browser.new_page(viewport={"width": 640, "height": 640})
        browser.close()


def test_the_svg_is_read_as_a_browser_shows_it(site: Site, screen: object, tmp_path: Path) -> None:
    for number, path in enumerate(PATHS):
        file = tmp_path / f"{number}.svg"
        file.write_bytes(drawn(site, path, "svg"))
        screen.goto(file.as_uri())  # type: ignore[attr-defined]
        (code,) = read(picture(screen.screenshot()))  # type: ignore[attr-defined]
        assert code.text == PUBLIC_URL + path


def photographed(image: Image.Image) -> Image.Image:
    """Return a label as a phone takes it: on a table, askew, blurred, small, compressed."""
    table = Image.new("L", (image.width * 2, image.height * 2), 190)
    table.paste(image, (image.width // 2, image.height // 2))
    turned = table.rotate(11, resample=Image.Resampling.BICUBIC, fillcolor=190)
    small = turned.resize((480, 480)).filter(ImageFilter.GaussianBlur(0.8))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=40)
    return picture(out.getvalue())


def test_a_photographed_label_is_read(site: Site) -> None:
    for path in PATHS:
        (code,) = read(photographed(picture(drawn(site, path, "png"))))
        assert code.text == PUBLIC_URL + path


def test_a_torn_label_is_not_read_as_another(site: Site) -> None:
    """What level M mends is mended; beyond it nothing is read, never another text."""
    path = PATHS[1]
    whole = picture(drawn(site, path, "png"))
    answers = []
    for share in range(2, 40, 2):
        torn = whole.copy()
        side = whole.width * share // 100
        place = (
            whole.width // 2,
            whole.height // 2,
            whole.width // 2 + side,
            whole.height // 2 + side,
        )
        ImageDraw.Draw(torn).rectangle(place, fill=0)
        answers.append([code.text for code in read(torn)])
    assert {text for texts in answers for text in texts} == {PUBLIC_URL + path}
    assert answers[0]
    assert not answers[-1]


# The other way round

ELEMENTS = "(01)09521234543213(10)LO-1(21)7"
THEIRS = {
    "a link in a QR code": ("QRCode", f"{PUBLIC_URL}{PATHS[2]}", {}, PATHS[2]),
    "a link in a DataMatrix": ("DataMatrix", f"{PUBLIC_URL}{PATHS[1]}", {}, PATHS[1]),
    "a GS1 DataMatrix": ("DataMatrix", ELEMENTS, {"gs1": True}, f"{PATHS[1]}/21/7"),
    "a GS1 QR code": ("QRCode", ELEMENTS, {"gs1": True}, f"{PATHS[1]}/21/7"),
    "a lot before the GTIN": ("DataMatrix", "(10)LO-1(01)09521234543213", {"gs1": True}, PATHS[1]),
    "a wrong check digit": ("DataMatrix", "(01)09521234543214(10)LO-1", {"gs1": True}, None),
    "a web page": ("QRCode", "https://example.org/", {}, None),
    "no code": ("QRCode", "WIFI:S:x;;", {}, None),
}  # fmt: skip


def written(kind: str, content: str, options: dict[str, bool]) -> bytes:
    """Return a PNG of a code that zxing-cpp has drawn."""
    wanted = zxingcpp.barcode_format_from_str(kind)
    code = zxingcpp.create_barcode(content, wanted, **options)
    drawing = zxingcpp.write_barcode_to_image(code, scale=8)
    height, width = drawing.shape
    out = io.BytesIO()
    shades = bytes(memoryview(drawing))  # type: ignore[arg-type]
    Image.frombuffer("L", (width, height), shades).save(out, "PNG")
    return out.getvalue()


def test_codes_that_zxing_draws_are_understood() -> None:
    texts = {}
    for name, (kind, content, options, _) in THEIRS.items():
        (texts[name],) = read_labels(written(kind, content, options))
    in_browser = ask_ours("code", [{"text": text} for text in texts.values()])
    for (name, text), theirs in zip(texts.items(), in_browser, strict=True):
        path = THEIRS[name][3]
        if path is None:
            assert "refused" in theirs, name
            with pytest.raises(CodeError):
                parse_code(text)
        else:
            assert theirs == path, name
            assert parse_code(text).path == path, name
