# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes photographs of labels: a code a little turned, on something grey, as PNG, JPEG or WebP."""

import io
from typing import Any

import zxingcpp
from PIL import Image


def photograph(text: str, kind: str = "PNG", symbol: str = "QRCode", **options: Any) -> bytes:
    """Return a picture of a label that says `text`; `gs1=True` has it written as GS1's own symbol."""
    code = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, symbol), **options)
    printed = Image.fromarray(code.to_image(scale=6, add_quiet_zones=True))
    label = printed.rotate(7, expand=True, fillcolor=255)
    scene = Image.new("L", (label.width + 200, label.height + 160), 150)
    scene.paste(label, (90, 60))
    data = io.BytesIO()
    scene.save(data, kind)
    return data.getvalue()
