"""Addresses, telephone numbers and items, as the public list writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.location import addresses, items, phones, regions
from tests.support import table

SEOUL = regions.named("서울")
CHUNGBUK = regions.named("충북")


@pytest.mark.parametrize(
    ("road", "lot", "address"),
    [
        ("서울특별시 중구 세종대로 110", "서울특별시 중구 태평로1가 31", "서울특별시 중구 세종대로 110"),
        ("중구 세종대로 110", "서울특별시 중구 태평로1가 31", "서울특별시 중구 세종대로 110"),
        ("세종대로 110", "서울특별시 중구 태평로1가 31", "서울특별시 중구 세종대로 110"),
        ("분당구 불정로 6", "경기도 성남시 분당구 정자동 1", "경기도 성남시 분당구 불정로 6"),
        ("중구?세종대로?110", "서울특별시 중구-1616", "서울특별시 중구 세종대로 110"),
        ("없음", "서울특별시 중구 태평로1가 31", "서울특별시 중구 태평로1가 31"),
        ("`", "서울특별시 중구 태평로1가 31", "서울특별시 중구 태평로1가 31"),
        ("", "서울특별시 중구 태평로1가 31", "서울특별시 중구 태평로1가 31"),
        ("충북 괴산군 괴산읍 읍내로 1", "", "충북 괴산군 괴산읍 읍내로 1"),
        ("수원시 효원로 1", "", "경기도 수원시 효원로 1"),
        ("", "", ""),
        ("-", "해당 없음", ""),
    ],
)
def test_an_address_is_completed_from_the_other_one(road: str, lot: str, address: str) -> None:
    found = addresses.choose(road, lot)
    assert found.text == address
    if road and address not in (road, lot):
        assert found.repairs


def test_a_region_completes_what_both_addresses_leave_out() -> None:
    assert addresses.choose("충혼로 12", "", ["전주"]).text == "전북특별자치도 충혼로 12"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("02-2133-0000", "02-2133-0000"),
        ("02)2133-0000", "02-2133-0000"),
        ("(02) 2133.0000", "02-2133-0000"),
        ("0221330000", "02-2133-0000"),
        ("063-2701234", "063-270-1234"),
        ("+82 2-2133-0000", "02-2133-0000"),
        ("+82-10-1234-5678", "010-1234-5678"),
        ("31-8075-1234", "031-8075-1234"),
        ("1600-0000", "1600-0000"),
        ("16000000", "1600-0000"),
        ("0507-1234-5678", "0507-1234-5678"),
        ("국번없이 120", "120"),
        ("(031)120", "031-120"),
    ],
)
def test_a_number_that_can_be_dialled_is_read_however_it_is_written(text: str, number: str) -> None:
    assert phones.choose([("tel", text)]).number == number


@pytest.mark.parametrize(
    "text",
    [
        "031-8075-1234~1236 \n고양시청 자원순환과",
        "경기도 성남시 자원순환과(031-729-1234, 1235)",
        "031-123-4567 / 031-765-4321",
        "○○동 행정복지센터 02-2133-0000",
    ],
)
def test_several_numbers_and_words_become_one_number_and_a_note(text: str) -> None:
    phone = phones.choose([("tel", text)])
    assert phone.number is not None
    assert len(phone.number) <= 20
    assert phone.note == text
    assert [field for field, _ in phone.repairs] == ["tel"]


def test_a_missing_area_code_comes_from_another_cell_or_the_province() -> None:
    assert phones.choose([("a", "850-1234(자원순환과)"), ("b", "043-850-1234")]).number == "043-850-1234"
    assert phones.choose([("a", "850-1234")], CHUNGBUK).number == "043-850-1234"
    assert phones.choose([("a", "850-1234")]).number is None


def test_a_cell_without_a_number_stays_as_a_note_and_an_empty_one_is_nothing() -> None:
    assert phones.choose([("tel", "담당자 문의")]) == phones.Phone(
        None, "담당자 문의", (("tel", "no telephone number in it: kept as a note"),)
    )
    assert phones.choose([("tel", "없음"), ("other", " - ")]) == phones.Phone()


@given(st.text(max_size=60))
def test_no_text_gives_a_number_longer_than_its_column(text: str) -> None:
    number = phones.choose([("tel", text)], SEOUL).number
    assert number is None or len(number) <= 20


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("투명페트병", ["pet_clear"]),
        ("무색페트병(투명페트병", ["pet_clear"]),
        ("투명pet", ["pet_clear"]),
        ("유색페트병\n판PET", ["plastic"]),
        ("페트병", ["plastic", "pet_clear"]),
        ("무색페트병\nPET", ["plastic", "pet_clear"]),
        ("종이팩(멸균,살균)", ["paper_pack"]),
        ("서적 및 신문지류", ["paper"]),
        ("투명, 갈색,녹색병", ["glass"]),
        ("소주병", ["glass"]),
        ("PE, PS, others", ["plastic"]),
        ("(캔류)\n알루미늄\n철", ["metal"]),
        ("(캔류((음료))\n알루미늄\n종이팩", ["paper_pack", "metal"]),
        ("(중고의류)\n의류\n그 외", ["clothing"]),
        ("(폐건전지 교환) 폐건전지 20개<->새건전지 2개", ["battery"]),
        ("종이백", ["paper"]),
        ("", []),
    ],
)
def test_items_are_mapped_to_waste_types(text: str, types: list[str]) -> None:
    assert items.read(text).types == types


@pytest.mark.parametrize(
    ("text", "name", "types"),
    [
        ("투명패트병", "투명페트병", ["pet_clear"]),
        ("투명페트명", "투명페트병", ["pet_clear"]),
        ("팻트병", "페트병", ["plastic", "pet_clear"]),
        ("플리스틱류", "플라스틱류", ["plastic"]),
        ("알류미늄 캔", "알루미늄 캔", ["metal"]),
        ("스치로폼", "스티로폼", ["styrofoam"]),
    ],
)
def test_a_misspelt_item_is_put_right_and_named(text: str, name: str, types: list[str]) -> None:
    read = items.read(text)
    assert (read.names, read.types, read.misspelt) == ([name], types, ((text, name),))


def test_each_cell_of_the_table_takes_what_stands_beside_it() -> None:
    """Where a letter or a mark more makes it another thing, two things or none."""
    for text, *wanted in table(__file__, "items.tsv"):
        read = items.read(text.replace("\\n", "\n"))
        misspelt = (f"{stood} > {reads}" for stood, reads in read.misspelt)
        found = (" ".join(read.types), "; ".join(read.names), "; ".join(misspelt), "; ".join(read.unmapped))
        assert [one or "-" for one in found] == wanted, text


def test_a_heading_says_what_the_lines_below_it_are() -> None:
    read = items.read("(플리스틱류)\n기타\n(비닐류)\n기타")
    assert read.types == ["plastic", "vinyl"]
    assert read.misspelt == (("플리스틱류", "플라스틱류"),)


def test_a_word_without_a_waste_type_stays_a_word() -> None:
    read = items.read("폐식용유\n캔")
    assert (read.types, read.names, read.unmapped) == (["metal"], ["폐식용유", "캔"], ("폐식용유",))


def test_a_filter_takes_a_type_or_a_word() -> None:
    assert items.wanted("pet_clear") == ["pet_clear"]
    assert items.wanted("투명패트병") == ["pet_clear"]
    assert items.wanted("없는 말") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("02-123-4567, 8901", "more than one number"),
        ("02-123-4567~8", "more than one number"),
        ("02-123-4567 / 02-765-4321", "more than one number"),
        ("02-123-4567 (안내)", "words beside the number"),
    ],
)
def test_what_is_kept_of_a_telephone_cell_beside_its_number_is_said_as_what_it_is(text: str, reason: str) -> None:
    phone = phones.choose([("tel", text)])
    assert (phone.number, phone.note) == ("02-123-4567", text)
    [(field, said)] = [one for one in phone.repairs if "kept" in one[1]]
    assert field == "tel"
    assert said.startswith(reason)
