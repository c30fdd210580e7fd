# SPDX-License-Identifier: GPL-3.0-or-later
"""The wordings of the pages, by key; templates ask for them as `t.key`."""

from collections.abc import Mapping

from api.words import Wording

TEXTS: Mapping[str, Wording] = {
    "other_language": Wording("English", "Tiếng Việt"),
    "skip": Wording("Đến nội dung", "Skip to the content"),
    "kept_by": Wording("Nhật ký truy xuất nguồn gốc", "Traceability log"),
    "find_another": Wording("Tra mã khác", "Look up another code"),
    "verify_link": Wording("Tự kiểm tra bằng chứng", "Check evidence yourself"),
    "verify_note": Wording(
        "Quét mã, dán địa chỉ hoặc chọn tệp bằng chứng: trình duyệt của bạn tự kiểm tra.",
        "Scan a code, paste a link or choose an evidence file: your own browser checks it.",
    ),
    "made_with": Wording(
        "Moneo: phần mềm tự do (GPL-3.0). Ai cũng chạy được, ai cũng kiểm tra được.",
        "Moneo: free software (GPL-3.0). Anyone can run it, anyone can check it.",
    ),
    # a product
    "journey_of": Wording("Hành trình của", "The journey of"),
    "unnamed": Wording("Sản phẩm chưa có tên", "A product without a name"),
    "lot": Wording("Lô", "Lot"),
    "serial": Wording("Số của từng con", "Serial"),
    "gtin": Wording("Mã sản phẩm (GTIN)", "Product number (GTIN)"),
    "own_code": Wording("Mã", "Code"),
    "written_by": Wording("Người viết:", "Written by"),
    "writers": Wording("Người viết hồ sơ", "Written by"),
    "begins_at": Wording("Bắt đầu từ", "Begins at"),
    "written_for": Wording("do tỉnh viết thay cho", "written by the province for"),
    "operator_title": Wording("Tỉnh giữ khóa ký", "The province keeps the signing key"),
    "operator_text": Wording(
        "Những bước có ghi “do tỉnh viết thay” được ký bằng khóa mà tỉnh giữ hộ doanh nghiệp: về "
        "mặt kỹ thuật, tỉnh có thể tự viết chúng.",
        "Steps that say “written by the province” are signed with a key that the province keeps for "
        "the business: technically, the province could have written them alone.",
    ),
    "province_says": Wording("Tỉnh nói", "The province says"),
    "as_of": Wording("Tính đến", "As of"),
    "look_again": Wording("Xem lại", "Look again"),
    "practice_title": Wording("Hồ sơ thử", "Practice records"),
    "practice_text": Wording(
        "Hồ sơ này được ký là bản thử (practice). Nó không nói về hàng hóa thật.",
        "These records are signed as practice. They are not about real goods.",
    ),
    "sample_title": Wording("Mã minh họa", "A sample code"),
    "sample_text": Wording(
        "Mã bắt đầu bằng 952 là mã GS1 dành để minh họa, không có trên hàng bán thật.",
        "GS1 keeps numbers beginning with 952 for demonstrations: they are on nothing for sale.",
    ),
    "timeline": Wording("Từ ao đến tay bạn", "From the pond to you"),
    "timeline_note": Wording(
        "Theo thứ tự thời gian mà người viết ghi; giờ Việt Nam.",
        "In the order of the times that the writers state; Vietnam time.",
    ),
    "of_lot": Wording("lô", "lot"),
    "practice": Wording("thử", "practice"),
    "superseded": Wording(
        "Đã được thay bằng hồ sơ sau. Xem nội dung cũ",
        "Superseded by a later record. See the old one",
    ),
    "withheld_one": Wording("1 mục không công khai", "1 field is not shown"),
    "withheld_many": Wording("mục không công khai", "fields are not shown"),
    "record_evidence": Wording("Bằng chứng của bước này", "Evidence of this step"),
    "accepted": Wording("Đã nhận", "Accepted"),
    "logged": Wording("Đã vào nhật ký", "Logged"),
    "anchored": Wording("Đã neo", "Anchored"),
    "accepted_long": Wording(
        "Tỉnh đã nhận và ký biên nhận. Thường chỉ vài giây nữa các bước được neo lên chuỗi; lúc đó mới có bằng chứng.",
        "The province has accepted the steps and signed a receipt. They are anchored on the chain within seconds; only then is there evidence.",
    ),
    "logged_long": Wording(
        "Các bước đã nằm trong nhật ký chỉ ghi thêm; đang chờ neo lên chuỗi.",
        "The steps are in the append-only log and wait for the chain.",
    ),
    "anchored_long": Wording(
        "Mọi bước đã được neo: dấu của chúng nằm trên chuỗi khối của nhiều thành viên, ai sửa cũng bị lộ.",
        "Every step is anchored: its mark stands on a blockchain of several members, and any change would show.",
    ),
    "anchored_alone": Wording(
        "Mọi bước đã được neo: dấu của chúng nằm trên chuỗi khối. Hiện chỉ có một nút kiểm chứng chuỗi ấy: chính tỉnh.",
        "Every step is anchored: its mark stands on a blockchain. For now one validator confirms that chain: the province itself.",
    ),
    "others_title": Wording("Người khác nói về mã này", "What others say about this code"),
    "others_text": Wording(
        "Những người sau không sở hữu mã này và chủ mã không nhắc đến họ. Lời của họ không thuộc "
        "hành trình ở trên.",
        "These writers do not own this code and its owner does not name them. What they say is no "
        "part of the journey above.",
    ),
    "only_others": Wording(
        "Chủ của mã này chưa viết hồ sơ nào.", "The owner of this code has written no record yet."
    ),
    "cut": Wording(
        "Hành trình này rất dài: trang chỉ cho xem một phần.",
        "This journey is very long: the page shows a part of it.",
    ),
    # what is proven
    "proven_title": Wording("Điều gì được chứng minh", "What is proven"),
    "proven_head": Wording("Bằng chứng cho biết", "The evidence shows"),
    "proven_1": Wording("Ai đã nói gì.", "Who said what."),
    "proven_2": Wording("Muộn nhất là vào lúc nào.", "By when."),
    "proven_3": Wording("Từ đó đến nay không có gì thay đổi.", "That nothing has changed since."),
    "unproven_head": Wording("Bằng chứng không cho biết", "It does not prove"),
    "unproven_1": Wording(
        "Con tem trên tay bạn có phải là tem gốc hay không.",
        "That the sticker in your hand is the original.",
    ),
    "unproven_2": Wording(
        "Điều doanh nghiệp viết có đúng sự thật hay không.", "That what a business wrote is true."
    ),
    "unproven_3": Wording(
        "Có điều gì bị bỏ sót hay không (phiên bản này chưa chứng minh được).",
        "That nothing was left out (not in this version).",
    ),
    "one_validator_title": Wording(
        "Một nút kiểm chứng: chính tỉnh", "One validator: the province itself"
    ),
    "one_validator_text": Wording(
        "Chuỗi này hiện chỉ có nút của tỉnh xác nhận. Khi có thêm thành viên, mức bảo đảm sẽ cao hơn.",
        "For now only the province's own node confirms this chain. With more members, it is worth more.",
    ),
    "page_is_no_proof": Wording(
        "Trang này chưa phải là bằng chứng: trang có thể giả, tệp bằng chứng thì ai cũng kiểm tra "
        "được, không cần mạng và không cần tin tỉnh.",
        "This page is no proof: a page can be faked. The evidence file can be checked by anyone, "
        "offline, without trusting the province.",
    ),
    "evidence_title": Wording("Tự kiểm tra", "Check it yourself"),
    "evidence_link": Wording("Tải bằng chứng", "Download the evidence"),
    "evidence_wait": Wording(
        "Tệp bằng chứng có sau khi mọi bước được neo, thường trong vài giây.",
        "The evidence file is ready once every step is anchored, usually within seconds.",
    ),
    "evidence_how": Wording(
        "Trên máy tính; lệnh cuối không cần mạng:",
        "On a computer; the last command needs no network:",
    ),
    "trust_link": Wording("Tệp tin cậy của chuỗi", "The chain's trust file"),
    "pilot_trust_link": Wording(
        "Tệp tin cậy cũ, cho bằng chứng lấy trước khi tỉnh vào liên minh",
        "The old trust file, for evidence from before the province joined the consortium",
    ),
    "fingerprint": Wording("Dấu vân tay", "Fingerprint"),
    "fingerprint_note": Wording(
        "So dấu vân tay với bản in trên giấy, hoặc với trang của một thành viên khác của liên minh.",
        "Compare the fingerprint with the one on paper, or on the page of another member of the consortium.",
    ),
    "qr_alt": Wording("Mã QR dẫn đến trang này", "QR code leading to this page"),
    "qr_svg": Wording("SVG", "SVG"),
    "qr_png": Wording("PNG để in", "PNG for print"),
    # the front page
    "home_title": Wording(
        "Từ mã trên tem, về đến ao nuôi", "From the code on the label, back to the pond"
    ),
    "home_text": Wording(
        "Mỗi bước của sản phẩm được doanh nghiệp ký, ghi vào nhật ký chỉ ghi thêm và neo lên chuỗi. "
        "Ai cũng kiểm tra được, kể cả khi không có mạng.",
        "Every step of a product is signed by the business, written to an append-only log and "
        "anchored on a chain. Anyone can check it, even offline.",
    ),
    "find_label": Wording("Mã trên tem", "The code on the label"),
    "find_hint": Wording(
        "Ví dụ: /01/09520001000034/10/HOP-01-1, hoặc cả địa chỉ trong mã QR",
        "For example /01/09520001000034/10/HOP-01-1, or the whole address in the QR code",
    ),
    "find": Wording("Xem hành trình", "Show the journey"),
    "published": Wording("Tỉnh công bố", "What the province publishes"),
    "log_link": Wording("Nhật ký chỉ ghi thêm (checkpoint)", "The append-only log (checkpoint)"),
    "closed_log_link": Wording("Nhật ký trước, đã đóng", "An earlier log, closed"),
    "api_link": Wording("Mô tả giao diện lập trình (OpenAPI)", "For programmers (OpenAPI)"),
    "no_trust": Wording(
        "Chưa có: nút của tỉnh đang khởi động.", "Not there yet: the province's node is starting."
    ),
    "upload_link": Wording("Gửi nhật ký sản xuất", "Send a production diary"),
    # sending a diary
    "upload_title": Wording("Gửi nhật ký sản xuất", "Send a production diary"),
    "upload_text": Wording(
        "Gửi bảng tính của bạn từ trình duyệt. Từng dòng được kiểm tra trước; chưa có gì được ghi cho đến khi bạn xác nhận.",
        "Send your spreadsheet from the browser. Each row is checked first; nothing is written until you confirm.",
    ),
    "token_label": Wording("Mã truy cập của tổ chức", "The organisation's token"),
    "token_hint": Wording(
        "Tỉnh cấp cho tổ chức, bắt đầu bằng moneo_. Trang giữ phiên đăng nhập 8 giờ.",
        "The province issues it; it begins with moneo_. You stay signed in for 8 hours.",
    ),
    "sign_in": Wording("Đăng nhập", "Sign in"),
    "sign_out": Wording("Đăng xuất", "Sign out"),
    "stage_choose": Wording("Chọn tệp", "Choose a file"),
    "stage_check": Wording("Xem kết quả", "See the check"),
    "stage_sent": Wording("Đã gửi", "Sent"),
    "file_label": Wording("Bảng tính nhật ký", "The diary's spreadsheet"),
    "file_hint": Wording("Tệp .xlsx hoặc .csv, nhiều nhất", "An .xlsx or .csv file, at most"),
    "rows": Wording("dòng", "rows"),
    "row": Wording("Dòng", "Row"),
    "practice_choice": Wording(
        "Gửi thử (practice): không nói về hàng hóa thật", "Practice: not about real goods"
    ),
    "check_button": Wording("Kiểm tra bảng", "Check the table"),
    "check_note": Wording(
        "Chưa có gì được gửi: bạn xem kết quả rồi mới quyết định. Bảng được giữ hai giờ rồi xóa.",
        "Nothing is sent yet: you see the result and then decide. The table is kept for two hours, then deleted.",
    ),
    "not_kept": Wording(
        "Tỉnh chưa giữ khóa ký cho tổ chức này nên chưa gửi được từ trình duyệt. Hãy nhờ người vận "
        "hành của tỉnh tạo khóa giữ hộ, hoặc gửi bằng khóa của mình với lệnh moneo.",
        "The province keeps no signing key for this organisation, so nothing can be sent from a "
        "browser. Ask its operator to keep one, or send with your own key and the moneo command.",
    ),
    "signs_for": Wording(
        "Hồ sơ gửi từ trang này do tỉnh ký thay; mọi nơi hiện hồ sơ đều ghi “do tỉnh viết thay cho”.",
        "What is sent here is signed by the province; wherever it is shown, it says “written by the "
        "province for”.",
    ),
    "templates_title": Wording("Bảng mẫu", "Templates"),
    "templates_text": Wording(
        "Có danh sách để chọn và một nhật ký đã điền làm ví dụ.",
        "In Vietnamese, with lists to choose from and a filled diary as an example.",
    ),
    "template_crab": Wording("Nhật ký nuôi cua (XLSX)", "Diary of a crab farm (XLSX)"),
    "template_shrimp": Wording("Nhật ký nuôi tôm (XLSX)", "Diary of a shrimp farm (XLSX)"),
    "checked_title": Wording("Kết quả kiểm tra", "What the check found"),
    "sent_title": Wording("Đã gửi", "Sent"),
    "rows_good": Wording("dòng đúng", "good"),
    "rows_bad": Wording("dòng cần sửa", "to mend"),
    "rows_sent": Wording("dòng đã gửi", "sent"),
    "sent_pages": Wording("Trang của các lô vừa gửi", "The pages of what you sent"),
    "good_title": Wording("Xem các dòng đúng", "See the good rows"),
    "good_cut": Wording(
        "Trang chỉ hiện 100 dòng đầu; mọi dòng đúng đều được gửi.",
        "The page shows the first 100; every good row is sent.",
    ),
    "confirm_text": Wording(
        "Chỉ những dòng đúng được gửi. Hồ sơ đã gửi không xóa được, chỉ thay được bằng hồ sơ mới.",
        "Only the good rows are sent. A record that was sent cannot be deleted, only superseded.",
    ),
    "confirm_button": Wording("Gửi các dòng đúng:", "Send the good rows:"),
    "receipt_link": Wording("Biên nhận có chữ ký của tỉnh", "The province's signed receipt"),
    "another_file": Wording("Gửi tệp khác", "Send another file"),
    "wrong_title": Wording("Dòng cần sửa", "Rows to mend"),
    "wrong_text": Wording(
        "Tải bảng có các ô sai được tô màu, sửa trong đó rồi gửi lại chính bảng ấy.",
        "Download the rows with the wrong cells marked, mend them there, and send that file again.",
    ),
    "wrong_download": Wording("Tải các dòng cần sửa", "Download the rows to mend"),
    "wrong_cut": Wording(
        "Trang chỉ hiện 100 dòng đầu; bảng tải về có đủ.",
        "The page shows the first 100; the file has them all.",
    ),
    # the page that checks
    "verify_title": Wording("Tự kiểm tra một sản phẩm", "Check a product yourself"),
    "verify_text": Wording(
        "Quét mã trên tem, hoặc mở tệp bằng chứng. Máy của bạn tự kiểm tra từng mắt xích, cả khi không có mạng.",
        "Scan the label, or open an evidence file. Your own device checks every link, also offline.",
    ),
    "verify_scan": Wording("Quét mã trên tem", "Scan the label"),
    "verify_files": Wording("Chọn tệp hoặc ảnh tem", "Choose a file or a photo"),
    "verify_aim": Wording(
        "Đưa mã QR hoặc DataMatrix vào khung. Hình không rời khỏi máy của bạn.",
        "Hold the QR or DataMatrix code in the frame. No picture leaves your device.",
    ),
    "verify_stop": Wording("Dừng camera", "Stop the camera"),
    "verify_paste": Wording(
        "Hoặc dán địa chỉ, mã trên tem", "Or paste a link, or the code on the label"
    ),
    "verify_hint": Wording(
        "Ví dụ: /01/09520001000034/10/HOP-01-1. Cũng có thể thả tệp vào trang này.",
        "For example /01/09520001000034/10/HOP-01-1. Files can be dropped onto this page, too.",
    ),
    "verify_go": Wording("Kiểm tra", "Check"),
    "verify_no_script": Wording(
        "Trang này cần JavaScript để máy của bạn tự kiểm tra. Không có thì dùng lệnh moneo verify trên máy tính.",
        "This page needs JavaScript, by which your own device checks. Without it use moneo verify on a computer.",
    ),
    "verify_trust_title": Wording("Tệp tin cậy trên máy này", "The trust file on this device"),
    "verify_trust_text": Wording(
        "Tệp này nói chữ ký của ai được tính. Mọi kết quả kiểm tra đều dựa vào nó.",
        "It says whose signatures count. Every result rests on it.",
    ),
    # a problem
    "back_home": Wording("Về trang đầu", "To the front page"),
    "problem_help": Wording(
        "Nếu bạn quét mã trên tem mà thấy trang này, hãy báo cho người bán: tem có thể bị in sai hoặc là tem giả.",
        "If a label brought you here, tell the seller: it may be misprinted, or a fake.",
    ),
}
