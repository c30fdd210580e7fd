# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong usage of a command is said in Vietnamese first, in the parser's own words after it."""

import pytest

import moneo


@pytest.mark.parametrize(
    ("words", "vi", "en"),
    [
        ("batch submit", "Thiếu tham số 'file'.", "Missing argument 'file'."),
        (
            "batch submit a.csv",
            "Thiếu tùy chọn '--to' (env var: 'MONEO_URL').",
            "Missing option '--to'",
        ),
        ("bogus", "Không có lệnh 'bogus'.", "No such command 'bogus'."),
        ("org bogus", "Không có lệnh 'bogus'.", "No such command 'bogus'."),
        (
            "verify --trus x",
            "Không có tùy chọn --trus; có phải: --trust?",
            "No such option: --trus",
        ),
        ("verify x --qqqqq", "Không có tùy chọn --qqqqq.", "No such option: --qqqqq"),
        ("verify x --code", "Tùy chọn '--code' cần một giá trị.", "requires an argument."),
        ("verify x --json=1", "Tùy chọn '--json' không nhận giá trị.", "does not take a value."),
        ("serve x", "Thừa tham số: x.", "Got unexpected extra argument"),
    ],
)
def test_wrong_usage_is_said_in_both_languages(
    words: str,
    vi: str,
    en: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MONEO_URL", raising=False)
    assert moneo.main(words.split()) == 2
    *usage, last = capsys.readouterr().err.strip().split("\n")
    assert not usage or usage[0].startswith("Cách dùng · Usage: moneo ")
    assert f"{vi} · " in last and en in last


@pytest.mark.parametrize("words", [["--help"], ["batch", "submit", "--help"], ["batch"]])
def test_help_has_its_headings_in_both_languages(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    moneo.main(words)
    said = capsys.readouterr()
    assert "Tùy chọn · Options" in said.out + said.err
