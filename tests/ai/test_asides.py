"""What is only told of is told from what is asked about, also in texts that were never seen"""

import re
from uuid import UUID

import pytest

from functions.ai import asides
from functions.ai.mentions import Mention
from functions.ai.retrieval import Item
from tests.eval import asides as training


def test_a_line_says_where_its_names_are_and_which_are_told_of() -> None:
    assert training.told("[캔]에 {재}가 들었어") == ("캔에 재가 들었어", [((0, 1), False), ((3, 4), True)])
    for line in ("[캔]", "[캔] {재", "[캔] 재] {재}", "[캔 {재}]"):
        with pytest.raises(ValueError, match="two names or more"):
            training.told(line)


def test_what_is_around_a_name_ends_at_the_next_name() -> None:
    spans = [(0, 1), (3, 4)]
    first, last = (asides.around("캔에 재가", spans, number) for number in (0, 1))
    assert {"name:캔", "then:에 재", "next:에 ", "place:0of2", "next in 2"} <= first
    assert {"name:재", "till:캔에 ", "before:에 ", "place:1of2", "last", "after:가"} - last == {"after:가"}


@pytest.mark.parametrize(
    "line",
    [
        "{다락} 치우다가 나온 [카세트테이프]가 백 개쯤 돼요",
        "{서류가방}에서 나온 [명함] 뭉치",
        "[욕조 매트]에 {샴푸} 자국이 남았는데",
        "[도자기 인형] 깨진 거를 {수건}에 싸서 버려도 되나",
        "[전기포트]랑 [토스터] 둘 다 안 켜져요",
        "[소금]하고 [설탕] 굳은 거",
        "[접이식 테이블] {망치}로 부숴서 봉투에 넣으면 안 되나",
        "{간식}은 되는데 [간식 봉지]는 왜 안 돼요",
        "[포도주] 남은 거하고 [오프너] 녹슨 거",
        "[lunch box] my {sandwich} was in",
        "[kettle] and [toaster], both broken",
    ],
)
def test_texts_that_it_was_not_trained_on_are_told_apart(line: str) -> None:
    text, names = training.told(line)
    assert text not in {known for known, _ in training.texts()}
    named = [Mention(_item(text[start:end]), start, end) for (start, end), _ in names]
    asked = [one.item.name for one in asides.without(named, named, text)]
    assert asked == re.findall(r"\[([^\]]+)\]", line)


def test_a_part_and_what_all_things_seem_to_be_told_of_stay() -> None:
    text = "서랍에서 나온 뚜껑"
    named = [Mention(_item("서랍"), 0, 2), Mention(_item("뚜껑"), 8, 10)]
    assert asides.without(named, named, text) == named
    assert asides.without(named[:1], named[:1], text) == named[:1]


def _item(name: str) -> Item:
    return Item(id=UUID(int=len(name)), name=name, name_en=name, category="general")
