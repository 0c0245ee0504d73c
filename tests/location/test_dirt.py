"""Made-up rows with the dirt of the public list, from seeds: what is read is what was meant, or a note, and never else."""

import random
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from functions.location import coordinates, hours, hours_text, items, keco, phones, regions
from functions.location.csv_rows import FileError
from functions.location.import_centers import Parsed, parse
from tests.location.lists import DAYS, as_csv, row

SEEDS = range(40)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


# Coordinates


def _degrees(value: Decimal, style: str) -> str:
    minutes = value % 1 * 60
    return style.format(int(value), int(minutes), round(minutes % 1 * 60, 3), round(minutes, 5))


WIDE = str.maketrans("0123456789.", "０１２３４５６７８９．")
POINT_DIRT: list[Callable[[random.Random, str, str], tuple[str, str]]] = [
    lambda r, a, b: (a, b),
    lambda r, a, b: (b, a),
    lambda r, a, b: (f"{a}?", b),
    lambda r, a, b: (a, f"?{b}"),
    lambda r, a, b: (f" {a}\t", f"{b}\n"),
    lambda r, a, b: (a.translate(WIDE), b.translate(WIDE)),
    lambda r, a, b: (a.replace(".", ","), b.replace(".", ",")),
    lambda r, a, b: (b.replace(".", ","), a.replace(".", ",")),
    lambda r, a, b: (a.replace(".", ""), b.replace(".", "")),
    lambda r, a, b: (a.replace(".", ". "), b.replace(".", "..")),
    lambda r, a, b: (a[1:], b),
    lambda r, a, b: (a, b[1:]),
    lambda r, a, b: (f"{r.choice('1245')}{a[1:]}", b),
    lambda r, a, b: (a, f"{b[0]}{r.choice('0456789')}{b[2:]}"),
    lambda r, a, b: (f"N{a}", f"E{b}"),
    lambda r, a, b: (f"{a}, {b}", ""),
    lambda r, a, b: ("", f"{a},{b}"),
    lambda r, a, b: ("", b),
    lambda r, a, b: (a, ""),
    lambda r, a, b: (a, a),
    lambda r, a, b: (a, f"{b[:3]}{a[2:]}"),
    lambda r, a, b: (f"-{a}", b),
    lambda r, a, b: (f"{float(a):.2E}", f"{float(b):.2E}"),
    lambda r, a, b: ("0", "0"),
    lambda r, a, b: ("35.6812", "139.7671"),
    lambda r, a, b: (a.replace(".", ".?"), b),
    lambda r, a, b: (f"{a[:4]}.{a[4:]}", b),
    *(
        lambda r, a, b, style=style: (_degrees(Decimal(a), style), _degrees(Decimal(b), style))  # type: ignore[misc]  # mypy can't infer a lambda with a default
        for style in ("{0}°{1}'{2}\"", "{0}도 {1}분 {2}초", "{0}-{1}-{2}", "{0}:{1}:{2}", "{0}°{3}'", "{0}° {1}′ {2}″")
    ),
]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_coordinate_is_the_one_that_was_meant_or_is_left_out_by_name(seed: int) -> None:
    r = random.Random(seed)
    province = r.choice(regions.PROVINCES)
    # Decimals that no slip makes equal.
    a, b = f"{r.uniform(province.south, province.north):.5f}31", f"{r.uniform(province.west, province.east):.5f}77"
    for dirt in POINT_DIRT:
        cells = dirt(r, a, b)
        point = coordinates.repair(*cells, province)
        if point.latitude is None or point.longitude is None:
            assert point.repairs, cells
            continue
        assert (float(point.latitude), float(point.longitude)) == pytest.approx((float(a), float(b)), abs=2e-6), cells
        if cells != (a, b) and "".join(cells).strip() != a + b:
            assert point.repairs or all(cell.strip().translate(WIDE).isascii() is False for cell in cells), cells


# Hours


def _time(r: random.Random, minutes: int) -> str:
    hour, minute = divmod(minutes, 60)
    half = "오전" if hour < 12 else "오후"
    twelve = hour if hour <= 12 else hour - 12
    styles = [f"{hour:02}:{minute:02}", f"{hour:02};{minute:02}", f"{hour:02}.{minute:02}", f"{hour:02}：{minute:02}"]
    if hour < 24:
        styles += [f"{half} {twelve}시" + (f" {minute}분" if minute else ""), f"{half} {twelve}:{minute:02}"]
    styles += [f"{hour}시" if not minute else f"{hour}시 {minute}분", f"{hour:02}{minute:02}"]
    return r.choice(styles)


BETWEEN = ["~", " ~ ", "-", " – ", "∼", "～", " 〜", "→", "~\n"]
AROUND = ["{}", "({})", "운영시간: {}", "매주 {}", "{} 운영", "{} (연중무휴)", "매일 {}"]
JOINED = [", ", " / ", "\n", ",\n", "; "]


@pytest.mark.parametrize("seed", SEEDS)
def test_hours_are_the_ones_that_were_meant_or_a_note(seed: int) -> None:
    r = random.Random(seed)
    unread = 0
    for _ in range(40):
        cuts = sorted(r.sample(range(12, 47), 2 * r.randint(1, 2)))  # half hours from 6:00 to 23:00
        spans = [(cuts[i] * 30, cuts[i + 1] * 30) for i in range(0, len(cuts), 2)]
        text = r.choice(JOINED).join(f"{_time(r, a)}{r.choice(BETWEEN)}{_time(r, b)}" for a, b in spans)
        text = r.choice(AROUND).format(text)
        reading = hours_text.read(text, "tue")
        if reading.spans is None:
            assert reading.note == text.strip()
            unread += 1
            continue
        assert reading.spans == [(_clock(a), _clock(b)) for a, b in spans], text
        assert not ("; " not in text and ";" in text) or reading.repair, text
    assert unread <= 4


@pytest.mark.parametrize(
    ("text", "day", "spans"),
    [
        ("평일 09:00~18:00, 토요일 09:00~13:00", "sat", [("09:00", "13:00")]),
        ("평일 09:00~18:00, 토요일 09:00~13:00", "mon", [("09:00", "18:00")]),
        ("평일 09:00~18:00, 토요일 09:00~13:00", "sun", None),
        ("월~금 09:00~18:00", "fri", [("09:00", "18:00")]),
        ("월~금 09:00~18:00", "sat", None),
        ("월·수·금 10:00~12:00", "wed", [("10:00", "12:00")]),
        ("월·수·금 10:00~12:00", "tue", None),
        ("09:00~18:00(토,일,공휴일 휴무)", "thu", [("09:00", "18:00")]),
        ("09:00~18:00(토,일,공휴일 휴무)", "sun", []),
        ("09:00~18:00(토,일,공휴일 휴무)", "holiday", []),
        ("10:00~17:00 (월요일 휴무)", "mon", []),
        ("10:00~17:00 (월요일 휴무)", "tue", [("10:00", "17:00")]),
        ("09:00~18:00 (12:00~13:00 제외)", "mon", [("09:00", "12:00"), ("13:00", "18:00")]),
        ("09:00~18:00 점심 12-13시 휴게", "mon", [("09:00", "12:00"), ("13:00", "18:00")]),
        ("6시~익일 1시", "mon", [("06:00", "01:00")]),
        ("24/7", "mon", hours.ALWAYS),
        ("휴뮤", "mon", []),
        # What could be meant in two ways.
        ("09:00~18:00 (12:00~13:00)", "mon", None),
        ("10:00~12:00, 2:00~4:00", "mon", None),
        ("10:00~12:00, 02:00~04:00", "mon", None),
        ("2시~4시", "mon", None),
        ("13시~5시", "mon", None),
        ("09:00~06:00", "mon", None),
        ("연중무휴", "mon", None),
        ("격주 10:00~12:00", "mon", None),
        ("매월 1일, 15일 10:00~12:00", "mon", None),
        ("매월 마지막주 10:00~12:00", "mon", None),
        ("10:00~18:00 월 2회", "mon", None),
        ("09:00~18:00 (동절기 17:00까지)", "mon", None),
    ],
)
def test_a_cell_says_of_its_own_day_what_it_says_and_no_more(
    text: str, day: str, spans: list[tuple[str, str]] | None
) -> None:
    reading = hours_text.read(text, day)
    assert reading.spans == spans
    assert spans is not None or reading.note == text


# Telephone numbers

PHONE_STYLES = [
    "{0}-{1}-{2}",
    "{0} {1} {2}",
    "{0}){1}-{2}",
    "({0}){1}-{2}",
    "{0}.{1}.{2}",
    "{0}{1}{2}",
    "{0}―{1}―{2}",
    "{0}-{1}-{2}(자원순환과)",
    "자원순환과 {0}-{1}-{2}",
    "{0}-{1}-{2}~9",
    "{0}-{1}-{2}, 3218",
    "{0}-{1}-{2} / 010-1111-2222",
    "FAX 02-111-2222, TEL {0}-{1}-{2}",
    "{3}-{1}-{2}",
    "{1}-{2}",
    "{1}-{2}(자원정책과)",
    "+82-{3}-{1}-{2}",
]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_telephone_number_is_the_one_that_was_meant(seed: int) -> None:
    r = random.Random(seed)
    province = r.choice(regions.PROVINCES)
    area, head, tail = province.area_code, str(r.randint(210, 899)), f"{r.randint(0, 9999):04}"
    for style in PHONE_STYLES:
        text = style.format(area, head, tail, area[1:])
        phone = phones.choose([("tel", text)], province)
        assert phone.number == f"{area}-{head}-{tail}", text
        more = any(char not in "0123456789-.()―+ " for char in text)
        assert (phone.note == text) == more, text


# Items

WORDS = {
    "pet_clear": ["투명페트병", "투명패트병", "무색페트병", "투명 PET", "투명페드병", "무라벨 페트병"],
    "plastic": ["플라스틱", "플리스틱류", "PP", "유색페트병", "판PET", "PET(유색)", "즉석밥용기 PP", "프라스틱"],
    "metal": ["캔", "철 캔", "알루미늄", "알류미늄캔", "고철", "알미늄"],
    "glass": ["유리병", "소주병", "갈색병", "빈병"],
    "paper": ["신문지", "서적", "종이박스", "책"],
    "paper_pack": ["종이팩", "종이 팩", "우유팩", "우유곽"],
    "battery": ["폐건전지", "건전치", "밧데리"],
    "vinyl": ["비닐", "비닐류"],
    "styrofoam": ["스티로폼", "스티로품"],
    "lighting": ["폐형광등", "형광등"],
    "clothing": ["헌옷", "의류"],
}


@pytest.mark.parametrize("seed", SEEDS)
def test_items_are_filed_under_what_they_are_whatever_separates_them(seed: int) -> None:
    r = random.Random(seed)
    kinds = r.sample(sorted(WORDS), r.randint(1, 6))
    words = [r.choice(WORDS[kind]) for kind in kinds]
    for separator in (", ", ",", "\n", "/", " / ", "·", "ㆍ", "\r\n", ";", "\n- ", "\n• ", "|", "、"):
        found = items.read(separator.join(words))
        assert set(found.types) == set(kinds), (separator, words)
        assert len(found.names) == len(words)
        assert found.unmapped == ()
    numbered = " ".join(f"{n}. {word}" for n, word in enumerate(words, 1))
    assert set(items.read(numbered).types) == set(kinds), numbered


@pytest.mark.parametrize(
    "text", ["옷걸이", "서류철", "캔버스", "아이스팩", "재활용품 일체", "CD", "보온병", "도자기", "약병"]
)
def test_what_is_no_waste_type_for_sure_is_kept_as_a_word(text: str) -> None:
    found = items.read(text)
    assert (found.types, found.names, found.unmapped) == ([], [text], (text,))


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("투명페트병 캔", ["pet_clear", "metal"]),
        ("투명페트병 및 캔", ["pet_clear", "metal"]),
        ("투명페트병과 캔", ["pet_clear", "metal"]),
        ("① 투명페트병 ② 캔", ["pet_clear", "metal"]),
        ("플라스틱 병", ["plastic"]),
        ("비닐 PE", ["vinyl"]),
        ("책상", ["bulky"]),
        ("펫병", ["plastic", "pet_clear"]),
    ],
)
def test_two_things_in_one_line_are_two_and_one_of_two_words_is_one(text: str, types: list[str]) -> None:
    assert items.read(text).types == types


# Whole files


def _rows(r: random.Random, count: int) -> Iterator[dict[str, str]]:
    for n in range(1, count + 1):
        cells = {
            "clctItemCn": "\n".join(r.sample([word for words in WORDS.values() for word in words], 3)),
            "bscTelnoCn": r.choice(PHONE_STYLES).format("02", "2133", f"{n:04}", "2"),
            "positnIntdcCn": r.choice(["", '말, "인용" 말\n둘째 줄', "모델명: F460, 1,000개"]),
            r.choice(DAYS): r.choice(["휴무", "상시", "09:00 ~ 12:00,\n14:00 ~ 17:00", "계약종료", "별도 문의"]),
        }
        cells["positnPstnLat"], cells["positnPstnLot"] = r.choice(POINT_DIRT)(r, "37.5663131", "126.9779277")
        yield row(n, f"곳 {n}", **cells)


def _damaged(r: random.Random, data: bytes) -> bytes:
    for _ in range(r.randint(1, 6)):
        at = r.randrange(len(data))
        cut, stays = data[at + r.randrange(300) :], data[:at]
        data = r.choice([
            *(stays + piece + data[at:] for piece in (b'"', b"\n", b",", b"\0", b"\r", "고".encode("cp949"), b"\xef\xbb\xbf")),
            stays + data[at + 1 :],
            stays + bytes([r.randrange(256)]) + data[at + 1 :],
            stays + cut or data,
            stays or data,
            stays + data[max(0, at - 200) :],
        ])  # fmt: skip
    return data


def _accounted(parsed: Parsed) -> None:
    report = parsed.report
    assert len(parsed.centers) + report.rejected == report.rows
    assert sum(detail.action == "rejected" for detail in report.details) == report.rejected
    assert report.repaired <= len(parsed.centers)
    assert all(detail.line >= 2 and detail.field and detail.reason for detail in report.details)


@pytest.mark.parametrize("seed", range(150))
def test_however_a_file_is_damaged_every_row_is_accounted_for(seed: int) -> None:
    r = random.Random(seed)
    data = as_csv(_rows(r, 40), encoding=r.choice(["utf-8", "utf-8-sig", "cp949"]), newline=r.choice(["\n", "\r\n"]))
    whole = parse(data)
    _accounted(whole)
    assert (len(whole.centers), whole.report.rejected) == (40, 0)
    try:
        parsed = parse(_damaged(r, data))
    except FileError:
        return  # the header was hit
    _accounted(parsed)
    # A center that is there is one of the file's own: damage makes no row of pieces of two.
    names = {center.name: center.address for center in whole.centers}
    strange = [center for center in parsed.centers if names.get(center.name) != center.address]
    assert len(strange) <= 6


def test_lines_of_two_encodings_and_titles_above_the_header_are_read() -> None:
    data = as_csv(_rows(random.Random(1), 30))
    lines = data.split(b"\n")
    mixed = b"\n".join(lines[:60] + [line.decode().encode("cp949") for line in lines[60:]])
    assert len(parse(mixed).centers) == 30
    assert len(parse(b"\xef\xbb\xbf" + data.decode().encode("cp949")).centers) == 30
    for title in ("재활용품 유가보상 위치정보\n\n", "sep=,\r\n", "\n제목,2024년\n"):
        assert len(parse(title.encode() + data).centers) == 30


def test_a_repaired_hour_is_named_with_its_column() -> None:
    reading = keco.read(row(1, "곳") | {"monSalsHrExplnCn": "09;00 ~ 18:00", "tuesSalsHrExplnCn": "휴뮤"})
    assert reading.center.operating_hours is not None
    assert reading.center.operating_hours["mon"] == [["09:00", "18:00"]]
    assert [field for field, _ in reading.repairs] == ["monSalsHrExplnCn", "tuesSalsHrExplnCn"]
