# SPDX-License-Identifier: GPL-3.0-or-later
"""Says a verdict as a person would, in Vietnamese and in English: short, plain, no more than is proven.

The first line has the most important thing. Times are shown in Vietnam's time, UTC+7, to the
minute: what is proven is rounded up, so that no text claims an earlier moment than the evidence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from node.light import LightError, Timestamp, format_time

if TYPE_CHECKING:
    from anchor.verdict import Kind, Language, Note, ProvenRecord, Verdict

VIETNAM_OFFSET: Final = 7 * 3600
MAX_SHOWN_RECORDS: Final = 40
# With more records than these the fields stay in the JSON and the pages: a journey is a list.
MAX_DETAILED_RECORDS: Final = 3
MAX_VALUE: Final = 200

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "vi": {
        "one-validator": "một nút kiểm chứng: chính tỉnh đó. Đã chứng minh: {what} có từ trước {when}, từ đó không bị sửa.",
        "one-decides": "một nút kiểm chứng quyết định một mình. Đã chứng minh: {what} có từ trước {when}, từ đó không bị sửa.",
        "consortium": "Đã chứng minh: {what} có từ trước {when}, từ đó không bị sửa. Hơn 2/3 trong số {validators} nút kiểm chứng đã ký.",
        "past-era": "các nút kiểm chứng cũ đã ký. Đã chứng minh: {what} có từ trước {when}, nếu khóa của các nút đã nghỉ không bị lạm dụng.",
        "past-era-one": "một nút kiểm chứng: chính tỉnh đó, và nay đã nghỉ. Đã chứng minh: {what} có từ trước {when}, nếu khóa cũ không bị lạm dụng.",
        "one-validator-why": "Ngoài tỉnh ra, chưa có ai khác xác nhận thời điểm và việc không có gì bị thay.",
        "past-era-why": "Tệp này không nối bản ghi với các nút hiện nay: hãy xin bằng chứng mới.",
        "records": "{n} bản ghi",
        "failed": "KHÔNG chứng minh được: {step}.",
        "detail": "Chi tiết kỹ thuật (bước {number}): {detail}",
        "code": "Mã: {code}",
        "others": "Lời của bên khác về mã này (không phải của chủ mã, không thuộc nhật ký):",
        "more": "… và {n} bản ghi nữa",
        "holder": "ghi bởi {name}",
        "operator": "tỉnh ghi thay cho {name}",
        "unnamed": "doanh nghiệp không nêu tên ({id})",
        "province": "sổ của {name}",
        "unknown-province": "sổ {log} (chủ sổ không có trong tệp tin cậy)",
        "by": "có từ trước {when}",
        "claimed": "doanh nghiệp khai lập lúc {when}",
        "hidden": "Không cho xem: {names}",
        "superseded": "đã được chính người ghi thay thế hoặc hủy ({id})",
        "serial": "đúng sản phẩm này",
        "lot": "đúng lô này",
        "gtin": "đúng mã sản phẩm này",
        "own": "đúng mã này",
        "linked": "nguyên liệu đầu vào",
        "party": "bên liên quan",
        "practice": "ghi để tập, không phải thật",
        "written-later": "ghi muộn: việc khai trước thời điểm chứng minh {days} ngày",
        "claimed-after": "giờ khai muộn hơn thời điểm đã chứng minh: đồng hồ của người ghi sai",
        "evidence-age": "Tính đến {when}: {days} ngày trước. Thông báo thu hồi sau đó không có trong tệp này.",
        "trust-age": "Tệp tin cậy: từ lần đổi nút kiểm chứng gần nhất mà nó biết đã {days} ngày.",
        "clock-behind": "Đồng hồ của máy này chậm hơn bằng chứng: số ngày ở trên không đáng tin.",
        "not-proven": "Không chứng minh: tem trên tay bạn là tem gốc; lời khai là đúng sự thật; không có gì bị giấu đi.",
        "fingerprint": "Dấu vân tay tệp tin cậy: {fingerprint}",
    },
    "en": {
        "one-validator": "one validator: the province itself. Proven: {what} existed by {when}, unchanged since.",
        "one-decides": "one validator decides alone. Proven: {what} existed by {when}, unchanged since.",
        "consortium": "Proven: {what} existed by {when}, unchanged since. More than 2/3 of {validators} validators signed.",
        "past-era": "former validators signed. Proven: {what} existed by {when}, unless retired keys were misused.",
        "past-era-one": "one validator: the province itself, since retired. Proven: {what} existed by {when}, unless its old key was misused.",
        "one-validator-why": "Nobody but the province vouches for the time, and for nothing having been replaced.",
        "past-era-why": "The file does not lead to today's validators: ask for new evidence.",
        "records": "{n} records",
        "failed": "NOT proven: {step}.",
        "detail": "Technical detail (step {number}): {detail}",
        "code": "Code: {code}",
        "others": "What others say of this code (not its owner, not part of the diary):",
        "more": "… and {n} more records",
        "holder": "written by {name}",
        "operator": "written by the province for {name}",
        "unnamed": "a business that shows no name ({id})",
        "province": "log of {name}",
        "unknown-province": "log {log} (the trust file does not name its owner)",
        "by": "existed by {when}",
        "claimed": "written at {when}, the business says",
        "hidden": "Not shown: {names}",
        "superseded": "replaced or voided by its own writer ({id})",
        "serial": "of this very item",
        "lot": "of this lot",
        "gtin": "of this product",
        "own": "of this code",
        "linked": "of what went into it",
        "party": "a party to it",
        "practice": "practice, not real",
        "written-later": "written later: it claims a time {days} days before the proven one",
        "claimed-after": "claims a later time than the proven one: its writer's clock is wrong",
        "evidence-age": "As of {when}, {days} days ago. A recall after that is not in this file.",
        "trust-age": "Trust file: {days} days since the newest change of validators that it knows.",
        "clock-behind": "This machine's clock is behind the evidence: don't rely on the days above.",
        "not-proven": "Not proven: that the label in your hand is the original; that what was written is true; that nothing was left out.",
        "fingerprint": "Trust file's fingerprint: {fingerprint}",
    },
}  # fmt: skip

_KINDS: Final[Mapping[str, Mapping[str, str]]] = {
    "vi": {
        "malformed": "tệp này không phải bằng chứng, hoặc đã hỏng",
        "too-large": "tệp này vượt giới hạn của một tệp bằng chứng",
        "newer": "tệp này cần bản kiểm tra mới hơn: hãy cập nhật moneo",
        "invalid": "một mắt xích trong tệp này sai, nó đã bị sửa hoặc chưa từng đúng",
        "untrusted": "tệp tin cậy của bạn không dẫn đến bằng chứng này; nó thuộc chuỗi khác, hoặc cần tệp tin cậy mới hơn",
        "mismatch": "đây là bằng chứng của mã khác, không phải mã bạn hỏi",
    },
    "en": {
        "malformed": "this file is no evidence, or it is damaged",
        "too-large": "this file is beyond the limits of an evidence file",
        "newer": "this file needs a newer verifier: update moneo",
        "invalid": "a link in this file is wrong; it was altered, or never right",
        "untrusted": "your trust file does not lead to this evidence; it is of another chain, or needs a newer trust file",
        "mismatch": "this is evidence of another code than the one you asked for",
    },
}  # fmt: skip

# What to do about it.
_ADVICE: Final[Mapping[str, Mapping[str, str]]] = {
    "vi": {
        "malformed": "Hãy tải lại tệp bằng chứng: tệp này có thể bị cắt ngang, hoặc là một tệp khác.",
        "too-large": "Hãy xin bằng chứng của từng bản ghi thay cho cả nhật ký.",
        "newer": "Sau khi cập nhật hãy kiểm tra lại: điều này chưa nói gì về hàng hóa.",
        "invalid": "Đừng dựa vào tệp này. Hãy tự tải bằng chứng mới từ trang của một thành viên; nếu vẫn sai, giữ tệp lại và báo cho tỉnh.",
        "untrusted": "Hãy lấy tệp tin cậy mới từ trang của một thành viên, so dấu vân tay rồi kiểm tra lại; nếu vẫn vậy, hãy xin bằng chứng mới.",
        "mismatch": "Hãy so mã trên nhãn với mã bạn hỏi. Nếu chính trang của nhãn này đưa ra tệp này, nhãn có thể là giả.",
    },
    "en": {
        "malformed": "Fetch the evidence file again: this one may be cut short, or another file altogether.",
        "too-large": "Ask for the evidence of single records instead of the whole diary.",
        "newer": "Check again after updating: this says nothing of the goods.",
        "invalid": "Don't rely on this file. Fetch new evidence yourself from a member's page; if that fails too, keep the file and tell the province.",
        "untrusted": "Get a new trust file from a member's page, compare its fingerprint and check again; if it stays so, ask for new evidence.",
        "mismatch": "Compare the code on the label with the one you asked for. If this label's own page gave this file, the label may be false.",
    },
}  # fmt: skip

# CBV 2.0 §7.1 business steps and the diaries' own tracking events (`moneo:cte`), as far as they are
# used; any other step is shown as it stands.
_STEPS: Final[Mapping[str, Mapping[str, str]]] = {
    "vi": {
        "stocking": "thả giống",
        "harvest": "thu hoạch",
        "commissioning": "lập mã mới",
        "creating_class_instance": "lập lô mới",
        "packing": "đóng gói",
        "receiving": "nhận hàng",
        "shipping": "xuất hàng",
        "storing": "lưu kho",
        "retail_selling": "bán lẻ",
        "destroying": "tiêu hủy",
        "inspecting": "kiểm tra",
    },
    "en": {
        "stocking": "stocking",
        "harvest": "harvest",
        "commissioning": "commissioning",
        "creating_class_instance": "new lot",
        "packing": "packing",
        "receiving": "receiving",
        "shipping": "shipping",
        "storing": "storing",
        "retail_selling": "retail sale",
        "destroying": "destroying",
        "inspecting": "inspection",
    },
}


def explain(kind: Kind, language: Language) -> tuple[str, str]:
    """Return what a kind of failure means, and what to do about it."""
    return _KINDS[language][kind], _ADVICE[language][kind]


def render(verdict: Verdict, language: Language) -> str:
    """Return the verdict's text: lines without a final LF."""
    lines = _proven(verdict, language) if verdict.proven else _refused(verdict, language)
    footer = _WORDS[language]["fingerprint"].format(fingerprint=verdict.fingerprint)
    return "\n".join([*lines, footer])


def _refused(verdict: Verdict, language: Language) -> Iterator[str]:
    words, failure = _WORDS[language], verdict.failure
    if failure:
        yield words["failed"].format(step=_KINDS[language][failure.kind])
        yield _ADVICE[language][failure.kind]
        yield words["detail"].format(number=failure.step, detail=failure.detail)


def _proven(verdict: Verdict, language: Language) -> Iterator[str]:
    words = _WORDS[language]
    yield _headline(verdict, language)
    if f"{verdict.assurance}-why" in words:
        yield words[f"{verdict.assurance}-why"]
    if verdict.expect_code:
        yield words["code"].format(code=verdict.expect_code)
    yield from _records(verdict, language, third_party=False)
    if any(one.statement == "third-party" for one in verdict.records):
        yield words["others"]
        yield from _records(verdict, language, third_party=True)
    yield from _general_notes(verdict, language)
    yield words["not-proven"]


def _headline(verdict: Verdict, language: Language) -> str:
    weakest = next(one for one in verdict.records if one.assurance == verdict.assurance)
    key: str = weakest.assurance
    if weakest.validators == 1 and key == "past-era":
        key = "past-era-one"
    elif weakest.validators > 1 and key == "one-validator":
        key = "one-decides"
    when = moment(max(one.when for one in verdict.records), language, up=True)
    what = _count(len(verdict.records), language)
    return _WORDS[language][key].format(what=what, when=when, validators=weakest.validators)


def _count(number: int, language: Language) -> str:
    return (
        "1 record"
        if number == 1 and language == "en"
        else _WORDS[language]["records"].format(n=number)
    )


def _records(verdict: Verdict, language: Language, *, third_party: bool) -> Iterator[str]:
    """Yield the lines of the diary, or of what others say, in the order of time."""
    indexes = [
        index
        for index, one in enumerate(verdict.records)
        if (one.statement == "third-party") == third_party
    ]
    indexes.sort(key=lambda index: _order(verdict.records[index]))
    detailed = len(verdict.records) <= MAX_DETAILED_RECORDS
    for index in indexes[:MAX_SHOWN_RECORDS]:
        notes = [note for note in verdict.notes if note.record == index]
        yield from _record(verdict.records[index], notes, language, detailed=detailed)
    if len(indexes) > MAX_SHOWN_RECORDS:
        yield _WORDS[language]["more"].format(n=len(indexes) - MAX_SHOWN_RECORDS)


def _order(one: ProvenRecord) -> tuple[int, int]:
    return (one.claimed if one.event_time is None else one.event_time, one.claimed)


def _record(
    one: ProvenRecord, notes: Sequence[Note], language: Language, *, detailed: bool
) -> Iterator[str]:
    words = _WORDS[language]
    parts = [_title(one, language), _writer(one, language)]
    parts += [words[key] for key in (one.level, one.statement) if key and key in words]
    parts += [words["superseded"].format(id=last) for last in one.superseded_by[-1:]]
    parts += [
        words[n.key].format(days=n.days) for n in notes if n.key in words and n.key != "operator"
    ]
    yield "• " + "; ".join(parts)
    if detailed:
        yield from _details(one, language)


def _title(one: ProvenRecord, language: Language) -> str:
    event, product = one.fields.get("moneo:cte"), one.fields.get("moneo:product")
    step = event if isinstance(event, str) else one.fields.get("bizStep")
    name = step.rpartition(":")[2].rpartition("BizStep-")[2] if isinstance(step, str) else one.type
    title = _STEPS[language].get(name, printable(name))
    if isinstance(product, str):
        title += f" – {_value(product)}"
    return title if one.event_time is None else f"{moment(one.event_time, language)} {title}"


def _writer(one: ProvenRecord, language: Language) -> str:
    words = _WORDS[language]
    unnamed = words["unnamed"].format(id=one.issuer.rpartition("/")[2])
    return words[one.custody].format(name=printable(one.issuer_name) or unnamed)


def _details(one: ProvenRecord, language: Language) -> Iterator[str]:
    words = _WORDS[language]
    log = words["province"].format(name=printable(one.province)) if one.province else ""
    yield "; ".join(
        (
            "    " + (log or words["unknown-province"].format(log=one.log)),
            words["by"].format(when=moment(one.when, language, up=True)),
            words["claimed"].format(when=moment(one.claimed, language)),
        )
    )
    for name, value in one.fields.items():
        yield f"    {name}: {_value(value)}"
    if one.hidden:
        yield "    " + words["hidden"].format(names=", ".join(one.hidden))


def _general_notes(verdict: Verdict, language: Language) -> Iterator[str]:
    words = _WORDS[language]
    when = moment(max(one.when for one in verdict.records), language, up=True)
    for note in verdict.notes:
        if note.record is None and note.key in words:
            yield words[note.key].format(days=note.days, when=when)


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text) if len(text) <= MAX_VALUE else printable(text[: MAX_VALUE - 1]) + "…"


def printable(text: str) -> str:
    """Replace what a terminal would obey rather than show, and what turns the direction of text."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def moment(seconds: int, language: Language, *, up: bool = False) -> str:
    """Return POSIX seconds as minutes of Vietnam's time, rounded up if asked."""
    minutes = -(-seconds // 60) if up else seconds // 60
    try:
        text = format_time(Timestamp(minutes * 60 + VIETNAM_OFFSET))
    except LightError:
        return str(seconds)
    year, month, day, clock = text[:4], text[5:7], text[8:10], text[11:16]
    zone = "giờ Việt Nam" if language == "vi" else "UTC+7"
    date = f"{day}/{month}/{year}" if language == "vi" else f"{year}-{month}-{day}"
    return f"{clock} {date} ({zone})" if language == "vi" else f"{date} {clock} ({zone})"
