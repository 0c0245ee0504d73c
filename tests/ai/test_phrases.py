"""How a list of phrases is found in a text."""

import pytest

from functions.ai import phrases
from functions.ai.phrases import Phrases, Words


@pytest.mark.parametrize(
    ("phrase", "text", "there"),
    [
        ("분리 수거", "분리수거 되나요", True),
        ("분리 수거", "분리 수거 되나요", True),
        ("버리", "안 버리고", True),
        ("^그거", "그거 버려?", True),
        ("^그거", "공그거리", False),
        ("cap", "the cap?", True),
        ("cap", "a capsule", False),
        ("recycl*", "is it recyclable", True),
        ("take ... off", "do i take the old label off", True),
        ("take ... off", "take it, and then turn the light off", False),
        ("tv", "tv를 버려요", True),
        ("버리~", "다 버릴까", True),
        ("버리~", "내다 버려", True),
        ("버리~", "이름을 잊어버렸어", False),
        ("나누~", "둘로 나눠서", True),
        ("담~", "봉투에 담아서", True),
        ("떼~", "라벨은 뗀 다음", True),
        ("떼~", "라벨은 남긴 다음", False),
        ("$", "어디든 맞는", True),
        (" 그", "이그", True),
        ("... 캔", "아무 말 캔", True),
        ("]-^ a", "x ]-^ a", True),
        ("담~", "담당 부서", False),
        ("수거함이 ... 없", "수거함이 우리 아파트에 없으면", True),
        ("수거함이 ... 없", "수거함이 없으면", True),
        ("수거함이 ... 없", "수거함이 어디 있는지 나는 잘 모르는데 없어", False),
    ],
)
def test_a_phrase_is_found_as_people_write_it(phrase: str, text: str, there: bool) -> None:
    assert Words(Phrases(ko=[phrase])).within(text) is there


def test_an_exception_hides_the_phrase_inside_of_it_alone() -> None:
    words = Words(Phrases(ko=["버렸"], unless=["잊어버렸"]))
    assert not words.within("이름을 잊어버렸어")
    assert words.within("이름을 잊어버렸지만 병은 버렸어")


def test_a_phrase_may_name_another_list() -> None:
    others = {"bins": Phrases(ko=["종이", "캔"])}
    words = Words(Phrases(ko=["<bins>로 되나"]), others)
    assert words.within("이건 종이로 되나요")
    assert not words.within("이건 유리로 되나요")
    assert Words(Phrases(ko=["^<bins>로"]), others).within("저기 캔로")
    assert Words(Phrases(ko=["<any>로"]), {"any": Phrases(ko=[" 종이"])}).within("종이로")


def test_a_list_whose_phrases_begin_with_no_letter_of_a_text_is_found_beside_one_that_does() -> None:
    words = Words(Phrases(ko=["^캔", "<bins> 통", "떼~"], en=["can*"], unless=["깡통"]), {"bins": Phrases(ko=["유리"])})
    assert [match["wanted"] for match in words.all("cans 캔 유리통 떼면 깡통")] == ["cans", "캔", "유리통", "떼"]
    assert words.without("캔, 병") == " , 병"
    assert (words.without("병"), words.count("병"), words.within("깡통"), words.is_all("캔")) == ("병", 0, False, True)


def test_no_phrase_is_nowhere() -> None:
    assert not Words(Phrases()).within("")
    assert not Words(Phrases()).within("아무 말")


def test_a_list_that_no_file_has_is_no_silent_one() -> None:
    with pytest.raises(AttributeError, match=r"words/grammar\.toml has no list topics"):
        _ = phrases.Lists("grammar").topics
    with pytest.raises(ValueError, match=r"words/lines\.toml"):
        phrases.Lists("lines")
