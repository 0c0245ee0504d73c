"""What a query is taken apart into."""

import pytest

from functions.recycle_info import words


def test_what_is_asked_about_a_thing_is_not_the_thing() -> None:
    assert list(words.read("다 쓴 건전지는 어떻게 버려요?").phrases) == ["건전지"]
    assert list(words.read("how do I recycle an old pizza box").phrases) == ["pizza box"]
    assert list(words.read("치킨뼈는 음식물 쓰레기로 버리나요").phrases) == ["치킨뼈"]


def test_the_text_as_it_was_typed_is_tried_too() -> None:
    assert words.read("음식물처리기").names["음식물처리기"] >= 1


def test_a_head_needs_a_word_of_its_own_or_a_name_before_it() -> None:
    (chair,) = [head for head in words.read("녹슨 의자").heads if head.text == "의자"]
    assert (chair.before, chair.bounded) == ("녹슨", True)
    (can,) = [head for head in words.read("소화캔디").heads if head.text == "캔디"]
    assert (can.before, can.bounded) == ("소화", False)


def test_what_something_came_in_is_no_name_at_the_end() -> None:
    assert not [
        head for text in ("낙엽 봉투", "유튜브") for head in words.read(text).heads if head.text in ("봉투", "튜브")
    ]


def test_what_it_came_in_may_stand_first() -> None:
    assert "사료캔" in words.read("캔사료").names


@pytest.mark.parametrize("query", ["", "?!", "🍕"])
def test_without_a_letter_nothing_is_asked_for(query: str) -> None:
    assert words.read(query) == words.Asked()


def test_a_spelling_is_read_as_the_dictionary_has_it() -> None:
    assert list(words.read("에어후라이어").phrases) == ["에어프라이어"]
    assert "에어후라이어" in words.read("에어후라이어").names


def test_a_name_may_begin_with_a_word_and_end_in_the_next_one() -> None:
    assert "수은온도계" in words.read("수은 온도계가 깨졌어").parts


@pytest.mark.parametrize(
    "text", ["깨진 거울이 나왔는데 이걸 전부 ", "where can i throw broken glasses ", "이삿짐", "가나다 "]
)
def test_the_work_for_a_text_of_any_length_is_bounded(text: str) -> None:
    asked = words.read((text * 200)[:500])
    assert not asked.phrases
    assert len(asked.words) <= words.MOST_WORDS
    assert len(asked.parts | asked.wholes) + len(asked.heads) < 700
