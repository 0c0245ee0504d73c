"""Which of several things in one text is asked about, in wording that the evaluation's sets do not hold."""

import pytest

from functions.ai.interfaces import Question
from functions.ai.questions import EmbeddedQuestions
from functions.ai.retrieval import Neighbours
from shared.calls import Calls


@pytest.mark.parametrize(
    ("text", "things"),
    [
        # What is in another thing.
        ("택배 상자 안 뽁뽁이는 비닐이죠?", ["에어캡"]),
        ("약 상자 속 설명서는 종이야?", ["설명서"]),
        # What is left when the rest is gone.
        ("김치 국물 다 버리고 김치통만 씻으면 되나요?", ["김치통"]),
        ("국물 다 버리고 컵라면 용기만 헹구면 되나", ["컵라면 용기"]),
        # What the text comes back to.
        ("다 쓴 염색약 튜브랑 빗이 남았는데 튜브는 어디에", ["플라스틱 화장품 용기"]),
        ("케이크 상자랑 초가 있는데 초는 어디에 버려", ["양초"]),
        # What comes off first is not what is put there.
        ("커튼 고리 떼고 의류함에 넣어야 하나", ["커튼"]),
        ("프라이팬 기름 닦고 고철에 넣어도 되지", ["프라이팬"]),
        # What a device holds.
        ("외장하드 안에 파일 지워야 해?", ["외장하드"]),
        # Both, where a bin bears the name of one.
        ("옷걸이랑 옷 같이 의류수거함에 넣어도 돼?", ["플라스틱 옷걸이", "헌옷"]),
    ],
)
def test_the_thing_that_a_text_singles_out_is_answered(known: Calls, text: str, things: list[str]) -> None:
    answer = EmbeddedQuestions(Neighbours(known)).answer(Question(text), lambda *_: None)
    assert [source.name for source in answer.record.sources] == things


def test_that_things_go_together_is_no_yes_to_whether_that_is_dangerous(known: Calls) -> None:
    answer = EmbeddedQuestions(Neighbours(known)).answer(
        Question("캔이랑 부탄가스 같이 버리면 위험해?"), lambda *_: None
    )
    assert not answer.text.startswith("네")
