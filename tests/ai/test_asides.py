"""What is only told of is told from what is asked about, also in texts that were never seen"""

import re
from uuid import UUID

import pytest

from functions.ai import asides
from functions.ai.mentions import Mention
from functions.ai.retrieval import Item
from tests.eval import asides as training
from tests.eval import marked


def test_a_line_says_where_its_names_are_and_which_are_told_of() -> None:
    said = marked.line("[컵] 어디 // [캔]에 {재}가 들었어\tbin\ttell\tfull")
    assert (said.text, said.names, said.follows) == ("캔에 재가 들었어", (((0, 1), False), ((3, 4), True)), True)
    assert (said.aspect, said.form, said.state) == ("bin", "tell", "full")
    for line in ("{재", "[캔] 재] {재}", "[캔 {재}]"):
        with pytest.raises(ValueError, match="each name"):
            marked.line(line)


def test_what_is_around_a_name_ends_at_the_next_name() -> None:
    spans = [(0, 1), (3, 4)]
    first, last = (asides.around("캔에 재가", spans, number) for number in (0, 1))
    assert {"name:캔", "then:에 재", "next:에 ", "place:0of2", "next in 2", "particle:에on0"} <= first
    assert {"name:재", "till:캔에 ", "before:에 ", "place:1of2", "last", "after:가"} - last == {"after:가"}
    assert "follows" in asides.around("캔에 재가", spans, 0, follows=True)


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
        "[전구] 두 개랑 금이 간 [어항]이 나왔는데 어디로 가져가죠",
        "[영수증] [신문지] [잡지] 다 같이 묶어요?",
        "[음식물 쓰레기]를 {까만 비닐}째 넣어도 됩니까",
    ],
)
def test_texts_that_it_was_not_trained_on_are_told_apart(line: str) -> None:
    said = marked.line(line)
    assert said.text not in {known.text for known in training.texts()}
    named = [Mention(_item(said.text[start:end]), start, end) for (start, end), _ in said.names]
    asked = [one.item.name for one in asides.asked(named, named, said.text)]
    assert asked == re.findall(r"\[([^\]]+)\]", line)


def test_a_thing_stays_beside_its_part_and_nothing_is_heard_where_the_rules_hear_nothing() -> None:
    text = "서랍에서 나온 뚜껑"
    named = [Mention(_item("서랍"), 0, 2), Mention(_item("뚜껑"), 8, 10)]
    assert asides.asked(named, named, text) == named
    assert asides.asked(named, named[:1], text) == named[:1]
    assert asides.asked(named, [], text) == []


def test_a_thing_that_the_rules_drop_is_brought_back() -> None:
    text = "바구니에 담긴 건전지 버려야 하나"
    basket, battery = Mention(_item("바구니"), 0, 3), Mention(_item("건전지"), 8, 11)
    assert asides.asked([basket, battery], [basket], text) == [battery]


def _item(name: str) -> Item:
    return Item(id=UUID(int=len(name)), name=name, name_en=name, category="general")
