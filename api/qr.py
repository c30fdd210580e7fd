# SPDX-License-Identifier: GPL-3.0-or-later
"""Draws the QR code of a trace code: its GS1 Digital Link (URI syntax 1.6) on the province's own host.

Error correction M, the level that GS1's general specifications (§5.12) recommend for labels; four
modules of quiet zone (ISO/IEC 18004 §6.3.8), black on white.
"""

import io

import segno

from anchor.codes import Code

SVG_TYPE = "image/svg+xml"
PNG_TYPE = "image/png"
QUIET_ZONE = 4
PNG_SCALE = 12


def link(public_url: str, code: Code) -> str:
    """Return the address that the QR code holds."""
    return public_url.rstrip("/") + code.path


def svg(text: str) -> bytes:
    """Return the QR code of a text as an SVG document that scales to any size."""
    out = io.BytesIO()
    _symbol(text).save(
        out,
        kind="svg",
        border=QUIET_ZONE,
        light="#fff",
        omitsize=True,
        xmldecl=False,
        svgclass=None,
        lineclass=None,
    )
    return out.getvalue()


def png(text: str) -> bytes:
    """Return the QR code of a text as a PNG of 12 pixels a module, for printing."""
    out = io.BytesIO()
    _symbol(text).save(out, kind="png", border=QUIET_ZONE, scale=PNG_SCALE)
    return out.getvalue()


def _symbol(text: str) -> segno.QRCode:
    return segno.make_qr(text, error="m", boost_error=False)
