# SPDX-License-Identifier: GPL-3.0-or-later
"""What labels say, rightly and wrongly: texts from each of which every verifier has to read the same code, or none."""

from anchor.codes import parse_code
from anchor.errors import CodeError

GTIN = "09521234543213"
GS = "\x1d"
OTHER_GTIN = "09521234000013"
SET_82 = "!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"

PATHS = (
    f"/01/{GTIN}", f"/01/{GTIN}/10/L-1", f"/01/{GTIN}/21/S_1", f"/01/{GTIN}/10/L.1/21/S", f"/01/{GTIN}/10/a%2Fb", f"/01/{GTIN}/10/a%2fb",
    f"/01/{GTIN}/10/%41%42", f"/01/{GTIN}/10/" + "".join(f"%{ord(c):02x}" for c in SET_82[:20]), f"/01/{GTIN}/10/!&'()*+,;:=",
    f"/01/{GTIN}/10/...", f"/01/{GTIN}/10/" + "x" * 20, f"/01/{GTIN}/10/" + "x" * 21, f"/01/{GTIN}/10/.", f"/01/{GTIN}/10/%2E%2e", f"/01/{GTIN}/10/~",
    f"/01/{GTIN}/10/$", f"/01/{GTIN}/10/@", f"/01/{GTIN}/10/%40", f"/01/{GTIN}/10/%7E", f"/01/{GTIN}/10/a b", f"/01/{GTIN}/10/a\"b", f"/01/{GTIN}/10/a%22b",
    f"/01/{GTIN}/10/c\u00e0", f"/01/{GTIN}/10/c%C3%A0", f"/01/{GTIN}/10/%E0", f"/01/{GTIN}/10/a%", f"/01/{GTIN}/10/a%2", f"/01/{GTIN}/10/a%zz", f"/01/{GTIN}/10/a%00",
    f"/01/{GTIN}/10/a%252F", f"/01/{GTIN}/10/a/", f"/01/{GTIN}/10/", f"/01/{GTIN}/10", f"/01/{GTIN}/", f"/01/{GTIN}/21/S/10/L", f"/01/{GTIN}/10/L/10/L", f"/01/{GTIN}/10/L/21/S/17/261122",
    f"/01/{GTIN[:-1]}4", f"/01/{GTIN[1:]}", f"/01/{GTIN[:-1]}\u0663", f"/01/%30{GTIN[1:]}", f"/00/{GTIN}", "/01", "/01/", "/", "//", f"//01/{GTIN}", f"/01/{GTIN}?x=1", f"/01/{GTIN}\n", f"/01/{GTIN}/10/L\n",
    "/c/a", "/c/camau/ao-12", "/c/a.b/~_-", "/c/.../x", "/c/" + "x" * 64, "/c/" + "x" * 65, "/c/" + "/".join("abcdefgh"), "/c/" + "/".join("abcdefghi"), "/c/", "/c", "/c/a/", "/c/a//b", "/c/a/../b", "/c/.", "/c/a%20b", "/c/a b", "/c/\u1ea5", "/c/a\n", "/C/a",
    "/c/" + "x" * 2046,
)  # fmt: skip
LINKS = (
    f"https://id.gs1.org/01/{GTIN}", f"http://h:8080/01/{GTIN}/10/01/21/01?17=261122#top", f"HTTPS://ID.GS1.ORG/01/{GTIN}/10/L", f"hTtP://h/01/{GTIN}", f"https://h/some/01/stem/01/{GTIN}/10/a",
    f"https://h/01/{GTIN}/10/01/21/{GTIN}", f"https://h/01/{OTHER_GTIN}/01/{GTIN}", f"https://h/01/{GTIN}5/01/{GTIN}", f"https://h/c/01/{GTIN}", "https://h/c/ao/12", "https://h/x/c/ao", f"https://h/c/01/{GTIN}/10/a%2Fb",
    f"https://u:p@h/01/{GTIN}", f"https://[::1]:80/01/{GTIN}", f"https://[/01/{GTIN}", f"https://truy-xu\u1ea5t.vn/01/{GTIN}?t=\u1ea5", f"https://\U0001f980/01/{GTIN}", f"https://h/01/{GTIN}#", f"https://h/01/{GTIN}?", f"https://h/01/{GTIN}/?", f"https://h/01/{GTIN}/",
    f"https:///01/{GTIN}", f"https:/h/01/{GTIN}", f"ftp://h/01/{GTIN}", f"https://h\\x/01/{GTIN}", f"https://h/a\\b/01/{GTIN}", f"https://h?/01/{GTIN}", f"https://h#/01/{GTIN}", f"https://h/01/{GTIN}?a\\b", f" https://h/01/{GTIN}", f"https://h/01/{GTIN} ", f"https://h/01/{GTIN}\n",
    f"https://h/0\t1/{GTIN}", f"https://h/01/{GTIN}?a b", f"https://h/01/{GTIN}#\x7f", f"https://h/01/{GTIN}?\u00a0", f"https://h/01/{GTIN}?\u2028", f"http\u017f://h/01/{GTIN}", f"x:https://h/01/{GTIN}", f"/01/{GTIN}?u=https://h", "://", "https://h", "https://h/", "https://h/01/123",
    f"https://h/01/{GTIN}?" + "x" * (2048 - 28 - len(GTIN) + 11), f"https://h/01/{GTIN}?" + "\U0001f980" * 2020, f"https://h/01/{GTIN}?" + "x" * 2040, f"https://h/%30%31/{GTIN}", f"https://h/01/{GTIN}%2F10/L", f"https://h/01/{GTIN}/10/L;v=1",
)  # fmt: skip
ELEMENTS = (
    f"(01){GTIN}", f"(01){GTIN}(10)L-1", f"(01){GTIN}(10)L(1)(21)S", f"(10)L(01){GTIN}", f"(01){GTIN}(17)261122(10)a/b", f"(01){GTIN}(3103)001750(10)L", f"(010){GTIN}", f"(01){GTIN}(100)X", f"(01){GTIN}(1)X", f"(01){GTIN}(10)", "(01)(10)L",
    f"(01){GTIN}(01){GTIN}", f"(01){GTIN}(10)L(10)L", "(10)L", "(00)1", "()", "(", "(01", f"(01){GTIN} (10)L", f"(01) {GTIN}", f"(01){GTIN}(10)" + "x" * 21, f"(01){GTIN}(10).", f"(01){GTIN}(91)~", f"x(01){GTIN}", f"]d2(01){GTIN}(21)S", f"(02){GTIN}(37)5",
    f"01{GTIN}", f"01{GTIN}10L-1", f"01{GTIN}10L{GS}21S", f"01{GTIN}10L{GS}21S{GS}", f"{GS}01{GTIN}10L", f"]d201{GTIN}10L{GS}21S", f"]Q301{GTIN}21S", f"]C101{GTIN}", f"]e001{GTIN}", f"]J101{GTIN}", f"]C1{GS}01{GTIN}", f"]E001{GTIN}", f"]C1]C101{GTIN}",
    f"01{GTIN}172611221010{GS}21ab", f"1726112201{GTIN}10L", f"10L{GS}01{GTIN}", f"10L01{GTIN}", f"01{GTIN}{GS}10L", f"01{GTIN}{GS}{GS}10L", f"{GS}{GS}01{GTIN}", f"01{GTIN}310300175010L", f"01{GTIN}42012345{GS}10L", f"01{GTIN}41012345678901231L", f"01{GTIN}20115L",
    f"01{GTIN}10L{GS}17261", f"01{GTIN}10", f"01{GTIN}1", f"01{GTIN[:-1]}", f"01{GTIN[:-1]}4", f"01{GTIN}10L 1", f"01{GTIN}10L%31", f"01{GTIN}10a/b", f"01{GTIN}10L{GS}10L", f"01{GTIN}01{GTIN}", f"01{GTIN}11{GS}", f"01{GTIN}\n", f"02{GTIN}375", f"01{GTIN}10\u1ea5",
    "", GTIN, GTIN[1:], "hello", "]d2", GS, "01", f"01/{GTIN}", f"01{GTIN}" + f"91x{GS}" * 600,
)  # fmt: skip


def expected(text: str) -> str | None:
    """Return the canonical path that a text stands for, None if it is no code."""
    try:
        return parse_code(text).path
    except CodeError:
        return None
