"""Whether a yes would say that a thing is done, or that it is left undone, is heard also in texts that were never seen"""

import pytest

from functions.ai import ways
from functions.ai.facts import facts
from functions.ai.interfaces import Question
from functions.ai.understood import Understood
from tests.eval import ways as training


@pytest.mark.parametrize(
    ("text", "aspect", "does"),
    [
        ("쿠키통 뚜껑은 떼고 내야 하나요", "lid", True),
        ("꿀단지 뚜껑 닫은 채로 내도 되나요", "lid", False),
        ("조미료통 스티커 벗겨야 해", "label", True),
        ("조미료통에 스티커 붙어 있어도 되나요", "label", False),
        ("조미료통 스티커 안 떼도 되죠", "label", False),
        ("조미료통 스티커 안 떼면 안 되나요", "label", True),
        ("통에 잼이 남았는데 이대로 버려도 돼", "empty", False),
        ("통에 남은 잼은 비워야 하나요", "empty", True),
        ("접시를 종이로 싸는 게 좋나요", "wrapped", True),
        ("가지를 통째로 넣어도 되나요", "whole", False),
        ("물감을 변기에 버리면 안 되죠", "toilet", False),
        ("물감을 변기에 버려도 되나요", "toilet", True),
        ("안 먹는 물감은 변기에 버리면 되죠", "toilet", True),
        ("쓰던 물감 그냥 내도 괜찮아", "rinse", False),
        ("물병은 유리 아니죠", "recycle", False),
        ("can i leave the tape on the parcel", "label", False),
        ("do i have to take the tape off the parcel", "label", True),
    ],
)
def test_which_way_is_asked(text: str, aspect: str, *, does: bool) -> None:
    assert text not in {known.text for known in training.texts()}
    assert ways.does(aspect, _understood(text)) is does


def test_of_what_is_done_it_may_be_unsure_and_of_a_place_it_is_not() -> None:
    asked = _understood("생수병 뚜껑은?")
    assert ways.does("lid", asked) is None
    assert ways.does("bag", asked) is ways.does("bin", asked) is True


def test_the_beginning_of_a_long_text_tells_nothing() -> None:
    asked = "라벨을 떼야 하나요"
    long = "가나다라마바사 " * 6 + asked
    assert ways.held("안 씻고 " + long, "label") == ways.held(long, "label")


def _understood(text: str) -> Understood:
    fact = facts(Question(text))
    return Understood("test", fact.language, text=fact.text, negated=fact.negated, omitted=fact.omitted)
