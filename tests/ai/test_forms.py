"""Whether somebody wants yes or no is heard also in endings that no list has, and in texts that were never seen"""

import pytest

from functions.ai import forms
from functions.ai.facts import facts
from functions.ai.interfaces import Question
from tests.eval import forms as training


@pytest.mark.parametrize(
    ("text", "polar"),
    [
        ("조미료통 뚜껑 떼야 하나요", True),
        ("낡은 도마 나무로 치면 되제", True),
        ("꽃바구니 리본은 떼고 내야 됩니꺼", True),
        ("양은 주전자 고물상에서 받아 줍니까", True),
        ("꼬치 막대 음쓰 ㄱㄴ?", True),
        ("do i have to rinse the paint tray?", True),
        ("꽃바구니는 어디에 버리나요", False),
        ("낡은 도마 버리는 방법", False),
        ("물감 통에 물감이 반쯤 남았어요", False),
        ("헌 도마 뒤집어서 십 년은 더 썼네", False),
        ("where does a paint tray go?", False),
    ],
)
def test_who_wants_yes_or_no(text: str, *, polar: bool) -> None:
    assert text not in {known.text for known in training.texts()}
    assert facts(Question(text)).polar is polar


def test_the_beginning_of_a_long_text_tells_by_its_words_alone() -> None:
    assert forms.held("가나다라 " * 9 + "라벨은 떼야만 하는 건가요", {"asks"}) == forms.held(
        "마바사아 " * 9 + "라벨은 떼야만 하는 건가요", {"asks"}
    )
    assert {"hears:asks", "both:asks+may", "$:?", "나요"} <= forms.held("떼야 하나요?!", {"may", "asks"})
