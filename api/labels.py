# SPDX-License-Identifier: GPL-3.0-or-later
"""Says EPCIS in words that a buyer of crab understands, in both languages.

Tables: business steps of the Core Business Vocabulary (CBV 2.0 §7.1), the tracking events of seafood
(TCVN 12455 and 12456 call for them), members of events, units (UN/ECE Recommendation 20). A name that
is in no table is shown as it is.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from anchor.codes import CodeError, from_digital_link
from api.words import Language, Wording

VIETNAM = timezone(timedelta(hours=7))
MAX_TEXT = 500
MAX_ITEMS = 20
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

TRACKING_EVENTS: Mapping[str, Wording] = {
    "hatchery": Wording("Ươm giống", "Hatchery"),
    "stocking": Wording("Thả giống", "Stocking"),
    "growout": Wording("Nuôi", "Grow-out"),
    "feeding": Wording("Cho ăn", "Feeding"),
    "harvest": Wording("Thu hoạch", "Harvest"),
    "capture": Wording("Khai thác", "Capture"),
    "landing": Wording("Cập cảng", "Landing"),
    "receiving": Wording("Tiếp nhận", "Receiving"),
    "transformation": Wording("Chế biến", "Processing"),
    "packing": Wording("Đóng gói", "Packing"),
    "storage": Wording("Bảo quản", "Storage"),
    "shipping": Wording("Xuất hàng", "Shipping"),
    "sale": Wording("Bán hàng", "Sale"),
}
BUSINESS_STEPS: Mapping[str, Wording] = {
    "accepting": Wording("Chấp nhận", "Accepting"),
    "arriving": Wording("Đến nơi", "Arriving"),
    "assembling": Wording("Lắp ghép", "Assembling"),
    "collecting": Wording("Thu gom", "Collecting"),
    "commissioning": Wording("Gán mã", "Commissioning"),
    "consigning": Wording("Ký gửi", "Consigning"),
    "creating_class_instance": Wording("Tạo lô", "Creating a lot"),
    "cycle_counting": Wording("Kiểm đếm", "Cycle counting"),
    "decommissioning": Wording("Ngừng dùng mã", "Decommissioning"),
    "departing": Wording("Rời nơi", "Departing"),
    "destroying": Wording("Tiêu hủy", "Destroying"),
    "dispensing": Wording("Cấp phát", "Dispensing"),
    "encoding": Wording("Ghi mã", "Encoding"),
    "entering_exiting": Wording("Ra vào", "Entering or exiting"),
    "holding": Wording("Lưu giữ", "Holding"),
    "inspecting": Wording("Kiểm tra", "Inspecting"),
    "installing": Wording("Lắp đặt", "Installing"),
    "loading": Wording("Bốc hàng", "Loading"),
    "packing": Wording("Đóng gói", "Packing"),
    "picking": Wording("Lấy hàng", "Picking"),
    "receiving": Wording("Tiếp nhận", "Receiving"),
    "removing": Wording("Lấy ra", "Removing"),
    "repackaging": Wording("Đóng gói lại", "Repackaging"),
    "repairing": Wording("Sửa chữa", "Repairing"),
    "replacing": Wording("Thay thế", "Replacing"),
    "reserving": Wording("Giữ mã", "Reserving"),
    "retail_selling": Wording("Bán lẻ", "Retail sale"),
    "sampling": Wording("Lấy mẫu", "Sampling"),
    "shipping": Wording("Xuất hàng", "Shipping"),
    "staging_outbound": Wording("Chờ xuất", "Staging outbound"),
    "storing": Wording("Bảo quản", "Storing"),
    "stocking": Wording("Nhập kho", "Stocking"),
    "transforming": Wording("Chế biến", "Transforming"),
    "transporting": Wording("Vận chuyển", "Transporting"),
    "unloading": Wording("Dỡ hàng", "Unloading"),
    "unpacking": Wording("Tháo dỡ", "Unpacking"),
    "void_shipping": Wording("Hủy xuất hàng", "Void shipping"),
}
EVENT_TYPES: Mapping[str, Wording] = {
    "epcis.objectevent": Wording("Sự kiện", "Event"),
    "epcis.aggregationevent": Wording("Gộp kiện", "Aggregation"),
    "epcis.transformationevent": Wording("Chế biến", "Transformation"),
    "epcis.transactionevent": Wording("Giao dịch", "Transaction"),
    "epcis.associationevent": Wording("Gắn kết", "Association"),
}
FIELDS: Mapping[str, Wording] = {
    "moneo:place": Wording("Nơi thực hiện", "Place"),
    "moneo:scientificName": Wording("Tên khoa học", "Scientific name"),
    "moneo:hatchery": Wording("Trại giống", "Hatchery"),
    "moneo:method": Wording("Cách thực hiện", "Method"),
    "inputQuantityList": Wording("Từ lô", "Made from"),
    "inputEPCList": Wording("Từ", "Made from"),
    "outputQuantityList": Wording("Thành lô", "Made into"),
    "outputEPCList": Wording("Thành", "Made into"),
    "quantityList": Wording("Số lượng", "Quantity"),
    "childQuantityList": Wording("Số lượng bên trong", "Quantity inside"),
    "epcList": Wording("Mã", "Codes"),
    "childEPCs": Wording("Mã bên trong", "Codes inside"),
    "parentID": Wording("Kiện", "Parent"),
    "moneo:customer": Wording("Khách hàng", "Customer"),
    "moneo:parties": Wording("Các bên", "Parties"),
    "moneo:document": Wording("Chứng từ", "Document"),
    "moneo:vehicle": Wording("Phương tiện", "Vehicle"),
    "moneo:recordedBy": Wording("Người ghi", "Recorded by"),
    "moneo:phone": Wording("Điện thoại", "Phone"),
    "readPoint": Wording("Điểm ghi nhận", "Read point"),
    "bizLocation": Wording("Địa điểm", "Location"),
    "disposition": Wording("Tình trạng", "Disposition"),
    "name": Wording("Tên", "Name"),
    "description": Wording("Mô tả", "Description"),
    "moneo:note": Wording("Ghi chú", "Note"),
}
# Shown in the heading of a step, or of interest to machines only.
SAID_ELSEWHERE = frozenset(
    {
        "eventTime",
        "eventTimeZoneOffset",
        "recordTime",
        "eventID",
        "bizStep",
        "action",
        "moneo:cte",
        "moneo:product",
        "@context",
    }
)
UNITS: Mapping[str, Wording] = {
    "KGM": Wording("kg", "kg"),
    "GRM": Wording("g", "g"),
    "TNE": Wording("tấn", "t"),
    "LTR": Wording("lít", "l"),
    "H87": Wording("con", "pcs"),
    "CT": Wording("thùng", "cases"),
    "XBX": Wording("hộp", "boxes"),
}


def step(kind: str, fields: Mapping[str, Any], language: Language) -> str:
    """Return the heading of an event: its tracking event, else its business step, else its type."""
    for name, table in (("moneo:cte", TRACKING_EVENTS), ("bizStep", BUSINESS_STEPS)):
        value = fields.get(name)
        if isinstance(value, str):
            # CBV steps come bare or as URIs: their last part is the step.
            word = value.replace(":", "/").rpartition("/")[2].removeprefix("BizStep-")
            return table[word].pick(language) if word in table else value[:MAX_TEXT]
    return EVENT_TYPES[kind].pick(language) if kind in EVENT_TYPES else kind


def field(name: str, language: Language) -> str:
    """Return the label of a member of an event."""
    return FIELDS[name].pick(language) if name in FIELDS else name.removeprefix("moneo:")


def rows(fields: Mapping[str, Any], language: Language) -> list[tuple[str, str]]:
    """Return (label, value) of the members worth a line: known ones in the table's order, then others."""
    known = [name for name in FIELDS if name in fields]
    others = [name for name in fields if name not in FIELDS]
    shown = [name for name in (*known, *others) if name not in SAID_ELSEWHERE]
    pairs = [(field(name, language), value(fields[name], language)) for name in shown]
    return [(label, text) for label, text in pairs if text]


def value(thing: Any, language: Language) -> str:
    """Return any JSON value as a short text: quantities with units, links as codes, the rest as it is."""
    if isinstance(thing, bool):
        return (
            Wording("có", "yes").pick(language) if thing else Wording("không", "no").pick(language)
        )
    if isinstance(thing, list):
        texts = [value(item, language) for item in thing[:MAX_ITEMS]]
        more = ["…"] if len(thing) > MAX_ITEMS else []
        return "; ".join([text for text in texts if text] + more)
    if isinstance(thing, Mapping):
        return _object(thing, language)
    if isinstance(thing, int | float):
        return number(thing, language)
    return "" if thing is None else code(str(thing), language)


def number(amount: int | float, language: Language) -> str:
    """Return a number as people of the language write it (32,5 in Vietnamese)."""
    text = f"{amount:,.3f}".rstrip("0").rstrip(".") if isinstance(amount, float) else f"{amount:,}"
    return text if language == "en" else text.translate(str.maketrans(",.", ".,"))


def code(text: str, language: Language) -> str:
    """Return a Digital Link as lot and serial, or the GTIN if it has neither; other text as it is."""
    try:
        known = from_digital_link(text)
    except CodeError:
        return text[:MAX_TEXT]
    parts = (
        (Wording("lô", "lot").pick(language), known.lot),
        (Wording("số", "serial").pick(language), known.serial),
    )
    named = ", ".join(f"{label} {part}" for label, part in parts if part)
    return named or (f"GTIN {known.gtin}" if known.gtin else known.path)


def _object(thing: Mapping[str, Any], language: Language) -> str:
    if "epcClass" in thing:
        return _quantity(thing, language)
    if language in thing or "vi" in thing:
        return value(thing.get(language, thing.get("vi")), language)
    pairs = [f"{name}: {value(part, language)}" for name, part in thing.items()]
    return ", ".join(pairs[:MAX_ITEMS])[:MAX_TEXT]


def _quantity(thing: Mapping[str, Any], language: Language) -> str:
    name = code(str(thing["epcClass"]), language)
    amount = thing.get("quantity")
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        return name
    unit = str(thing.get("uom", ""))
    unit = UNITS[unit].pick(language) if unit in UNITS else unit
    return f"{number(amount, language)} {unit} ({name})".replace("  ", " ")


def moment(when: datetime, language: Language) -> str:
    """Return a time to the minute in Vietnam's zone, as people of the language write it."""
    local = when.astimezone(VIETNAM)
    if language == "en":
        return f"{local.day} {MONTHS[local.month - 1]} {local.year}, {local:%H:%M}"
    return f"{local:%H:%M}, {local:%d/%m/%Y}"


def seconds(when: int, language: Language) -> str:
    """Return POSIX seconds as `moment` does."""
    return moment(datetime.fromtimestamp(when, UTC), language)
