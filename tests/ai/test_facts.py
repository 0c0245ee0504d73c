"""What is known of a question from its text alone."""

import pytest

from functions.ai.facts import LONGEST, Facts, asked, facts, language, plain
from functions.ai.interfaces import Question
from functions.ai.vocabulary import ASPECTS, CASES, SITUATIONS
from shared.messages import Turn
from tests import items


def read(text: str, *said: str) -> Facts:
    return facts(Question(text, tuple(Turn("user", before) for before in said)))


@pytest.mark.parametrize(
    ("text", "aspect"),
    [
        ("두유팩 헹궈야 해?", "rinse"),
        ("잼병 라벨 떼나요", "label"),
        ("물병 마개 닫아서 버려요?", "lid"),
        ("키친타월 변기에 넣어도 돼?", "toilet"),
        ("남은 국물 싱크대에 부어도 되나", "drain"),
        ("장마철에 신문지 내놔도 되나요", "rain"),
        ("페트병 밟아서 버려?", "crush"),
        ("음식물을 비닐봉지째 넣어?", "wrapped"),
        ("휴대폰 개인정보 어떡하지", "data"),
        ("냉장고 무료로 가져가나요", "pickup"),
        ("헌 옷 기부해도 되나요", "reuse"),
        ("should I squash the bottle", "crush"),
        ("우유팩 어떻게 버려?", None),
    ],
)
def test_what_is_asked_about_a_thing(text: str, aspect: str | None) -> None:
    assert next(iter(read(text).aspects), None) == aspect


@pytest.mark.parametrize(
    ("text", "negated"),
    [("안 씻어도 돼?", True), ("씻어야 돼?", False), ("안 씻으면 안 되나?", False), ("can I skip rinsing", True)],
)
def test_a_question_turned_round_is_noticed_and_two_turns_cancel_out(text: str, negated: bool) -> None:
    assert (read(text).negated != read(text).omitted) is negated


@pytest.mark.parametrize(
    ("text", "situation"),
    [
        ("거실 형광등이 박살났어", "broken_lamp"),
        ("배터리가 볼록해졌어요", "swollen_battery"),
        ("the battery is leaking", "leaking_battery"),
        ("부탄가스에서 가스가 새는 것 같아", "leaking_gas"),
        ("주사바늘 어디다 버려", "needle"),
        ("통조림 뚜껑이 날카로워요", "sharp_lid"),
        ("이름 모를 화학 약품", "chemical"),
        ("락스랑 세제 섞어도 되나", "mixing"),
        ("유리컵이 깨졌어", "broken_shards"),
        ("보조배터리를 물에 빠뜨려서 젖었어요", "damaged_battery"),
        ("강아지가 건전지를 삼켰어요", "swallowed"),
        ("불발된 폭죽 버리는 법", "explosive"),
        ("드라이아이스 버리기", "dry_ice"),
        ("안 깨진 형광등", None),
        ("뜨개바늘 버리기", None),
        ("건전지 어디에 버려?", None),
    ],
)
def test_a_danger_is_noticed(text: str, situation: str | None) -> None:
    found = read(text).situation
    assert (found.name if found else None) == situation


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("쓰레기 봉투 가격", "bag_price"),
        ("종량제봉투 어디서 사?", "bag_shop"),
        ("무단투기 벌금", "fine"),
        ("재활용은 무슨 요일에 내놔?", "weekday"),
        ("소파 버리는 비용", "fee"),
        ("20리터 봉투 얼마예요", "bag_price"),
        ("설날에도 쓰레기 가져가나요? 내놔도 돼요?", "weekday"),
        ("장롱 스티커 어디서 사요", "sticker_shop"),
        ("오늘 무슨 요일이야", None),
        ("신고 포상금은 얼마나 돼요", "reward"),
        ("종량제봉투 무료로 받을 수 있나요", "bag_support"),
        ("음식물 쓰레기 요금 어떻게 나와요", "food_fee"),
        ("노트북 가격", None),
        ("제가 어제 신고한 장롱 수거해 갔나요", "own_report"),
        ("경비아저씨가 박스 가져갔나 봐요", None),
        ("왜 안 가져갔나요 스티로폼", None),
    ],
)
def test_what_the_municipality_knows_is_noticed(text: str, unknown: str | None) -> None:
    found = read(text).unknown
    assert (found.name if found else None) == unknown


def test_everyday_spellings_are_put_right() -> None:
    assert asked("음쓰") == "음식물쓰레기"
    assert asked("스댕 냄비") == "스텐 냄비"


def test_what_a_thing_lacks_is_not_asked_about() -> None:
    assert asked("라벨 없는 페트병은?") == "페트병은?"
    assert not read("라벨 없는 페트병은?").aspects


@pytest.mark.parametrize(
    ("text", "polar", "opened"),
    [
        ("헹궈야 하나요?", True, False),
        ("물에 담가 둘까", True, False),
        ("캔으로 쳐주려나", True, False),
        ("이것도 종이인지 궁금해요", True, False),
        ("뚜껑 분리 여부", True, False),
        ("어디에 두는지 알려 주세요", False, True),
        ("어떻게 버려요?", False, True),
        ("can I flush it", True, False),
        ("does a lamp go with glass", True, False),
    ],
)
def test_a_question_wants_yes_or_no_or_more(text: str, polar: bool, opened: bool) -> None:
    assert (read(text).polar, read(text).open) == (polar, opened)


@pytest.mark.parametrize(
    ("text", "either"),
    [
        ("페트병 뚜껑 닫고 버려요, 열고 버려요?", True),
        ("우유팩 씻어서 버려 말아?", True),
        ("종이류야 아니면 일반쓰레기야?", True),
        ("종이도 아니면 일반쓰레기야?", False),
        ("우유팩 씻어서 버려요?", False),
    ],
)
def test_which_of_two_ways_is_noticed(text: str, either: bool) -> None:
    assert read(text).either is either


def test_what_is_left_out_on_the_way_says_nothing_about_the_bin() -> None:
    torn = read("코팅지 안 찢어지면 일반쓰레기인가요")
    assert (torn.omitted, torn.negated) == (True, False)
    assert read("종량제봉투에 버리면 안 되나요").negated


def test_the_reason_is_asked_for_by_its_words_alone() -> None:
    assert read("칫솔은 왜 일반쓰레기야?").reason
    assert not read("이유식 통 버려도 돼?").reason


def test_dirt_that_stays_is_dirt() -> None:
    assert "dirty" in read("안 씻기면요?").cases
    assert "dirty" not in read("기름 안 묻은 상자 종이로 내도 돼?").cases


def test_a_long_text_is_read_by_its_beginning() -> None:
    assert len(plain("가" * 9000)) == LONGEST


def test_the_language_is_the_texts_or_the_one_spoken_before() -> None:
    assert (language("toothbrush는?"), language("tv?"), language("?", ["how?"]), language("?")) == (
        "ko",
        "en",
        "en",
        "ko",
    )


def test_aspects_and_cases_are_those_of_the_items() -> None:
    entries = [entry for file in items.files() for entry in file.items]
    # Where nothing may be thrown no item says; the others are answered by the items' steps.
    assert set(ASPECTS) - {"outdoors", "whole", "absent", "empty", "handed"} <= {
        aspect for entry in entries for aspect in entry.answers
    }
    # A part that does not come off, dirt that stays, and what does not work are told by other lines.
    assert set(CASES) - {"stuck", "stays", "faulty"} <= {case for entry in entries for case in entry.exceptions}


def test_the_items_of_dangers_are_there() -> None:
    names = {entry.name for file in items.files() for entry in file.items}
    assert {situation.item for situation in SITUATIONS if situation.item} <= names


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("털어서 깨끗하거든요 비닐에 내도 되죠", "비닐에 내도 되죠"),
        ("물에 헹궜어요. 플라스틱이죠?", "플라스틱이죠?"),
        ("비에 젖었는데 그 상태로 넣어도 되나요", "비에 젖었는데 그 상태로 넣어도 되나요"),
        ("라벨 떼야 하나요", "라벨 떼야 하나요"),
    ],
)
def test_what_is_told_first_is_not_asked_unless_it_is_asked_of_that(text: str, asks: str) -> None:
    assert text[read(text).asks_from :] == asks


@pytest.mark.parametrize(
    ("text", "either"),
    [("닫고? 열고?", True), ("잘라야 하나 통째로 넣어도 되나", True), ("뚜껑은 닫아야 하나요", False)],
)
def test_which_of_two_ways_is_asked(text: str, either: bool) -> None:
    assert read(text).either is either
