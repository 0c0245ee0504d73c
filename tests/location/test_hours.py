"""Opening hours: the source's words, the spans they mean, and the Korean calendar."""

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.location.hours import ALWAYS, DAYS, KEYS, KST, OperatingHours, is_holiday, moment
from functions.location.hours_text import compose, read
from tests.support import table

NINE_TO_SIX = [("09:00", "18:00")]


@pytest.mark.parametrize(
    "text",
    [
        "09:00~18:00",
        "09:00 ~ 18:00",
        " 9:00-18:00 ",
        "09:00–18:00",
        "０９：００～１８：００",
        "09시~18시",
        "9시 00분 ~ 18시 00분",
        "9~18시",
        "9~18",
        "0900~1800",
        "09:00부터 18:00까지",
        "09:00~18:00까지",
        "09:00:00~18:00:00",
        "오전 9시 ~ 오후 6시",
        "오전 9:00~오후 6:00",
        "9:00 AM - 6:00 PM",
        "am 9:00 ~ pm 6:00",
        "운영시간: 09:00~18:00",
        "매주 화요일 09:00~18:00",
        "평일 09:00~18:00",
        "09:00~12:00, 12:00~18:00",
    ],
)
def test_a_span_is_read_however_it_is_spelt(text: str) -> None:
    reading = read(text, "tue")
    assert (reading.spans, reading.note) == (NINE_TO_SIX, "")


@pytest.mark.parametrize(
    "text", ["휴무", "전체휴무", "휴 무", "정기휴무", "휴무일", "미운영", "운영안함", "X", "(휴무)"]
)
def test_closed_is_an_empty_list(text: str) -> None:
    assert read(text).spans == []
    assert read(text).note == ""


@pytest.mark.parametrize(
    "text",
    ["상시", "24시간", "24시간 운영", "24시간 연중무휴", "상시개방", "00:00~24:00", "00:00~23:59", "00:00 ~ 00:00"],
)
def test_always_is_one_whole_day(text: str) -> None:
    assert (read(text).spans, read(text).note) == (ALWAYS, "")


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("09:00 ~ 12:00,\n14:00 ~ 17:00", [("09:00", "12:00"), ("14:00", "17:00")]),
        ("9:00 ~ 11:00\n15:00 ~ 17:00", [("09:00", "11:00"), ("15:00", "17:00")]),
        ("13:00~18:00 / 09:00~12:00", [("09:00", "12:00"), ("13:00", "18:00")]),
        ("09:00~13:00, 12:00~18:00", NINE_TO_SIX),
    ],
)
def test_several_spans_come_in_order_and_without_overlap(text: str, spans: list[tuple[str, str]]) -> None:
    assert read(text).spans == spans


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("22:00~06:00", ("22:00", "06:00")),
        ("20:00~익일 02:00", ("20:00", "02:00")),
        ("20:00~다음날 2시", ("20:00", "02:00")),
        ("20:00~26:00", ("20:00", "02:00")),
        ("오후 10시~오전 2시", ("22:00", "02:00")),
        ("18:00~자정", ("18:00", "24:00")),
        ("11:00~02:00", ("11:00", "02:00")),
    ],
)
def test_a_span_past_midnight_ends_at_or_before_its_start(text: str, span: tuple[str, str]) -> None:
    assert (read(text).spans, read(text).note) == ([span], "")


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("오후 1시~5시", ("13:00", "17:00")),
        ("오후 12시~오후 3시", ("12:00", "15:00")),
        ("오전 12시~오전 6시", ("00:00", "06:00")),
        ("오전 10시~12시", ("10:00", "12:00")),
        ("10:00~정오", ("10:00", "12:00")),
        ("오전 9시 30분~오후 5시 반", ("09:30", "17:30")),
    ],
)
def test_halves_of_the_day_are_understood(text: str, span: tuple[str, str]) -> None:
    assert read(text).spans == [span]


@pytest.mark.parametrize(
    "text",
    [
        "09:00~18:00 (점심시간 12:00~13:00)",
        "09:00~18:00, 점심시간 12:00~13:00 제외",
        "09:00~18:00(12:00~13:00 점심시간)",
        "09:00~18:00 점심시간(12:00~13:00) 제외",
        "09:00 ~ 18:00\n※ 중식시간 12:00 ~ 13:00",
        "휴게시간 12:00~13:00, 09:00~18:00",
    ],
)
def test_a_lunch_break_is_taken_out(text: str) -> None:
    reading = read(text)
    assert (reading.spans, reading.note) == ([("09:00", "12:00"), ("13:00", "18:00")], "")


@pytest.mark.parametrize(
    "text",
    [
        "09:00~18:00 점심 12:00~13:00 휴게 15:00~16:00",
        "9시~18시 점심 12~13시 휴게시간: 15~16시",
        "09:00~18:00 (점심시간 12:00~13:00, 휴게시간 15:00~16:00)",
        "09:00~18:00 점심(12:00~13:00) 휴게(15:00~16:00)",
        "09:00~18:00 12:00~13:00 점심 휴게 15:00~16:00",
    ],
)
def test_a_second_break_is_taken_out_too(text: str) -> None:
    reading = read(text)
    assert (reading.spans, reading.note) == ([("09:00", "12:00"), ("13:00", "15:00"), ("16:00", "18:00")], "")


def test_a_break_without_times_stays_in_the_note() -> None:
    reading = read("09:00~18:00 (점심시간 제외)")
    assert (reading.spans, reading.note) == (NINE_TO_SIX, "09:00~18:00 (점심시간 제외)")


@pytest.mark.parametrize(
    ("text", "weeks"),
    [
        ("10:00~12:00\n14:00~16:00\n(1,3,5주)", [1, 3, 5]),
        ("10:00~12:00\n14:00~16:00\n(2, 4주)", [2, 4]),
        ("10:00~12:00, 14:00~16:00 (1~3주)", [1, 2, 3]),
        ("매월 첫째·셋째주 10:00~12:00 14:00~16:00", [1, 3]),
        ("둘째, 넷째 화요일 10:00~12:00, 14:00~16:00", [2, 4]),
    ],
)
def test_weeks_of_the_month_are_kept_beside_the_spans_and_the_text_in_the_note(text: str, weeks: list[int]) -> None:
    reading = read(text, "tue")
    assert reading.spans == [("10:00", "12:00"), ("14:00", "16:00")]
    assert (reading.weeks, reading.note) == (weeks, text)


@pytest.mark.parametrize(
    "text",
    [
        "문의",
        "전화문의 요망",
        "25:00~27:00",
        "09:70~18:00",
        "09:00~09:00",
        "09:00~",
        "18:00 이후",
        "1-3",
        "10시부터 5시까지",
        "오전 9시~6시",
        "점심시간 12:00~13:00",
        "점심 12:00~13:00 휴게 15:00~16:00",
        "09:00~18:00 휴게 12:00~13:00, 15:00~16:00",
        "09:00~18:00 휴무",
        "공휴일 휴무",
        "2,4주 휴무",
        "격주 10:00~12:00",
        "하절기 09:00~18:00, 동절기 09:00~17:00",
        "09:00~18:00 (토요일 09:00~13:00)",
        "연중무휴",
        "1" * 5000,
    ],
)
def test_what_is_not_clear_is_not_guessed_and_keeps_its_text(text: str) -> None:
    reading = read(text, "mon")
    assert (reading.spans, reading.note) == (None, text)


def test_each_cell_of_the_table_says_what_stands_beside_it() -> None:
    """Where a word or a minute more makes it another reading, or none."""
    for day, text, wanted, *beside in table(__file__, "hours.tsv"):
        reading = read(text, day if day != "-" else None)
        spans = " ".join("~".join(span) for span in reading.spans) if reading.spans is not None else "unread"
        assert (spans or "closed") == wanted, text
        weeks = f"weeks {','.join(map(str, reading.weeks))}" if reading.weeks else ""
        kept = (weeks, "noted" if reading.note else "", "mended" if reading.repair else "")
        assert " ".join(filter(None, kept)) == "".join(beside), text
        assert reading.note in ("", text)


@pytest.mark.parametrize(("length", "spans"), [(300, NINE_TO_SIX), (301, None)])
def test_a_cell_longer_than_any_is_not_searched(length: int, spans: list[tuple[str, str]] | None) -> None:
    text = "09:00~18:00".ljust(length - 1) + "."
    assert (read(text).spans, read(text).note) == (spans, text if spans is None else "")


def test_a_condition_beside_a_span_stays_in_the_note() -> None:
    assert read("09:00~18:00 (우천시 휴무)").note == "09:00~18:00 (우천시 휴무)"
    assert read("09:00~18:00 (우천시 휴무)").spans == NINE_TO_SIX


def test_a_center_whose_contract_has_ended_is_closed_and_says_so() -> None:
    assert read("계약종료").spans == []
    assert read("계약종료").note == "계약종료"


def test_an_empty_cell_is_unknown_and_no_note() -> None:
    for text in ("", "  ", "-", " . "):
        assert (read(text).spans, read(text).note) == (None, "")


def test_the_hours_of_a_center_hold_every_day_in_the_contract_s_shape() -> None:
    hours = compose(dict.fromkeys(DAYS[:5], "09:00~18:00") | {"sat": "휴무", "sun": "휴무", "holiday": "휴무"})
    assert hours is not None
    weekdays = {key: [["09:00", "18:00"]] for key in DAYS[:5]}
    assert hours == {**weekdays, "sat": [], "sun": [], "holiday": [], "note": ""}
    assert msgspec.convert(hours, OperatingHours).mon == NINE_TO_SIX


def test_the_note_names_the_days_whose_text_it_keeps() -> None:
    hours = compose({"mon": "문의", "wed": "문의", "tue": "10:00~12:00 (2,4주)", "sun": "휴무"})
    assert hours is not None
    assert hours["note"] == "월·수: 문의\n화: 10:00~12:00 (2,4주)"
    assert hours["weeks"] == {"tue": [2, 4]}
    assert hours["unread"] == ["mon", "wed", "thu", "fri", "sat", "holiday"]
    assert hours["mon"] == []


def test_a_center_without_any_hours_has_none() -> None:
    assert compose({}) is None
    assert compose({"mon": "", "sun": " "}) is None


@given(st.text(max_size=40) | st.from_regex(r"[0-9오전후시분:~ ,()주휴무점심간매월\n-]{0,30}", fullmatch=True))
def test_no_text_makes_reading_fail_or_gives_a_span_out_of_shape(text: str) -> None:
    hours = compose(dict.fromkeys(KEYS, text))
    if hours is not None:
        for key in KEYS:
            for start, end in hours[key]:
                assert "00:00" <= start < "24:00"
                assert "00:00" <= end <= "24:00"
                assert start != end


def test_public_holidays_are_korean_ones_with_their_substitutes() -> None:
    assert is_holiday(dt.date(2026, 2, 17))  # Seollal
    assert is_holiday(dt.date(2026, 3, 2))  # for 1 March, a Sunday
    assert is_holiday(dt.date(2025, 1, 27))  # declared for one year
    assert not is_holiday(dt.date(2026, 2, 19))


def test_an_instant_is_seen_in_korean_time() -> None:
    at = moment(dt.datetime(2026, 7, 5, 15, 30, tzinfo=dt.UTC))  # Monday 6 July, 00:30 in Korea
    assert (at.day, at.week, at.eve, at.eve_week, at.clock) == ("mon", 1, "sun", 1, "00:30")


def test_a_public_holiday_is_no_weekday_and_its_night_belongs_to_it() -> None:
    liberation = moment(dt.datetime(2025, 8, 15, 12, tzinfo=KST))
    assert (liberation.day, liberation.eve) == ("holiday", "thu")
    after = moment(dt.datetime(2025, 8, 16, 1, tzinfo=KST))
    assert (after.day, after.eve) == ("sat", "holiday")


def test_the_fifth_monday_is_the_fifth() -> None:
    assert moment(dt.datetime(2026, 6, 29, 9, tzinfo=KST)).week == 5
    assert [moment(dt.datetime(2026, 9, day, 9, tzinfo=KST)).week for day in (1, 7, 8, 14, 15, 28, 29)] == [
        *(1, 1, 2, 2, 3, 4, 5)
    ]


def test_an_instant_s_numbers_are_of_its_day_and_of_the_late_spans_of_the_day_before() -> None:
    """Each of every week and of this one; the Monday is the second of its month, the Sunday before it the first."""
    monday, sunday, second, first = KEYS.index("mon"), KEYS.index("sun"), 2 * len(KEYS), len(KEYS)
    days = 2880  # minutes of a day and of what runs on into the next one
    numbers = [
        *(monday * days + 90, (second + monday) * days + 90),
        *(sunday * days + 1440 + 90, (first + sunday) * days + 1440 + 90),
    ]
    at = moment(dt.datetime(2026, 6, 8, 1, 30, tzinfo=KST))
    assert at.minutes() == "{" + ", ".join(f"[{number},{number}]" for number in numbers) + "}"
