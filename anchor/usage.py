# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command line's parser says, in Vietnamese first: headings of the help, and wrong usage.

The parser has English sentences only. Those of wrong usage are known by their form, and kept beside
the Vietnamese ones, since that is what anybody searches for.
"""

import re
from typing import Any, Final

from typer import rich_utils
from typer.exceptions import TyperException

_SENTENCES: Final = (
    (r"Missing argument (.+)\.", "Thiếu tham số {0}."),
    (r"Missing option (.+)\.", "Thiếu tùy chọn {0}."),
    (r"Missing command\.", "Thiếu tên lệnh."),
    (r"No such command (.+)\.(?: .*)?", "Không có lệnh {0}."),
    (r"No such option: (\S+) \(Possible options: (.+)\)", "Không có tùy chọn {0}; có phải: {1}?"),
    (r"No such option: (\S+)(?: .*)?", "Không có tùy chọn {0}."),
    (r"Option (.+) requires an argument\.", "Tùy chọn {0} cần một giá trị."),
    (r"Option (.+) requires (\d+) arguments\.", "Tùy chọn {0} cần {1} giá trị."),
    (r"Option (.+) does not take a value\.", "Tùy chọn {0} không nhận giá trị."),
    (r"Got unexpected extra argument\S* \((.*)\)", "Thừa tham số: {0}."),
    (r"Invalid value for (.+?): (?:.*)", "Giá trị của {0} không đúng."),
    (r"Invalid value: (?:.*)", "Giá trị không đúng."),
)


def explain(sentence: str) -> str:
    """Return what is wrong in both languages; the parser's own sentence where its form is not known."""
    for form, vi in _SENTENCES:
        if match := re.fullmatch(form, sentence, re.DOTALL):
            return f"{vi.format(*match.groups())} · {sentence}"
    return sentence


def describe(error: TyperException) -> str:
    """Return what to print for wrong usage: the usage line, where to read more, what is wrong."""
    context: Any = getattr(error, "ctx", None)
    sentence = error.format_message()
    if context is None:
        return explain(sentence)
    # Without arguments the help itself is the message.
    if "\n" in sentence:
        return sentence
    usage = context.get_usage().replace("Usage:", "Cách dùng · Usage:", 1)
    return f"{usage}\nXem thêm · See: {context.command_path} --help\n\n{explain(sentence)}"


def set_headings() -> None:
    """Have the help's headings in both languages."""
    rich_utils.ARGUMENTS_PANEL_TITLE = "Tham số · Arguments"
    rich_utils.OPTIONS_PANEL_TITLE = "Tùy chọn · Options"
    rich_utils.COMMANDS_PANEL_TITLE = "Lệnh · Commands"
    rich_utils.DEFAULT_STRING = "[mặc định · default: {}]"
    rich_utils.REQUIRED_LONG_STRING = "[bắt buộc · required]"
