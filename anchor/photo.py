# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what the codes on a photograph of a label say: QR codes and GS1 DataMatrix.

Needs the extra `moneo[photo]`. A picture comes from anywhere, so its size is bounded twice before
anything is decoded: the file's bytes, and the pixels that its header announces.
"""

import io
import struct
import warnings
from typing import Final

from anchor.errors import AnchorError

MAX_PHOTO_BYTES: Final = 32 << 20
# A phone of 64 megapixels; a file of a few bytes can announce a thousand times as many.
MAX_PIXELS: Final = 64_000_000
# Enough for a label that fills a third of the picture; JPEG is decoded no larger than it has to be.
ENOUGH: Final = (4096, 4096)
MAX_LABELS: Final = 64
SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"})
FORMATS: Final = ("JPEG", "PNG", "WEBP")
_HEIC: Final = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc")


class PhotoError(AnchorError):
    """No label can be read: no picture, a wrong kind, too large, no code in it, or the extra is missing."""

    def __init__(self, vi: str, en: str) -> None:
        self.vi = vi
        self.en = en
        super().__init__(f"{vi} · {en}")


def is_photo(head: bytes) -> bool:
    """Whether a file that begins so is a picture rather than evidence."""
    known = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return head.startswith(known) or is_webp or head[4:12] in _HEIC


def read_labels(data: bytes) -> list[str]:
    """Return what each code on a photograph says, each once, GS1's with symbology identifier and separators.

    Raises:
        PhotoError: nothing can be read; its sentences say what to do.
    """
    if data[4:12] in _HEIC:
        raise PhotoError(
            "ảnh HEIC: hãy lưu lại thành JPEG, hoặc chụp ở chế độ tương thích nhất",
            "a HEIC picture: save it as JPEG, or photograph in the most compatible format",
        )
    if len(data) > MAX_PHOTO_BYTES:
        raise PhotoError(
            f"ảnh lớn hơn {MAX_PHOTO_BYTES >> 20} MiB", f"larger than {MAX_PHOTO_BYTES >> 20} MiB"
        )
    try:
        import zxingcpp

        picture = _gray(data)
    except ImportError as error:
        raise PhotoError(
            "đọc ảnh nhãn cần thêm: pip install 'moneo[photo]'",
            "reading a photograph needs: pip install 'moneo[photo]'",
        ) from error
    formats = zxingcpp.barcode_formats_from_str("QRCode,DataMatrix")
    found = zxingcpp.read_barcodes(picture, formats=formats, text_mode=zxingcpp.TextMode.Plain)
    # Only GS1's own symbols begin with an identifier: any other text is the label's as it stands.
    is_gs1 = zxingcpp.ContentType.GS1
    texts = [
        (one.symbology_identifier if one.content_type == is_gs1 else "") + one.text for one in found
    ]
    labels = list(dict.fromkeys(text for text in texts if text))
    if not labels:
        raise PhotoError(
            "không thấy mã QR hay DataMatrix: hãy chụp gần, thẳng và đủ sáng",
            "no QR code or DataMatrix is seen: photograph it close, straight and in good light",
        )
    return labels[:MAX_LABELS]


def _gray(data: bytes) -> object:
    """Decode a picture to shades of gray, once its header has been believed small enough."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                picture.draft("L", ENOUGH)
                return picture.convert("L")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PhotoError(
            f"ảnh lớn hơn {MAX_PIXELS // 10**6} triệu điểm ảnh: hãy thu nhỏ",
            f"more than {MAX_PIXELS // 10**6} megapixels: make it smaller",
        ) from error
    # What decoders of pictures raise for bytes that are none.
    except (
        OSError,
        ValueError,
        SyntaxError,
        struct.error,
        EOFError,
        IndexError,
        KeyError,
    ) as error:
        raise PhotoError(
            "không đọc được ảnh: cần JPEG, PNG hoặc WebP",
            "the picture can't be read: JPEG, PNG or WebP is needed",
        ) from error
