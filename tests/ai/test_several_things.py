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
        # What is left in another thing, and a bag that held something.
        ("밀폐용기에 남은 밥", ["밥"]),
        ("고양이 모래 묻은 봉투", ["비닐봉투"]),
        # What belongs to a thing that stays.
        ("리모컨 건전지 다 썼는데", ["건전지"]),
        ("의자 다리", ["가구 부품"]),
        ("텀블러 뚜껑 고무패킹", ["고무 패킹"]),
        ("마요네즈 뚜껑", ["마요네즈 통"]),
        # Two, where the second is the first one's.
        ("아이스크림 통이랑 막대기", ["종이 아이스크림 통", "아이스크림 막대"]),
        ("콜라병이랑 병뚜껑", ["생수병", "페트병 뚜껑"]),
        ("컵라면 용기랑 젓가락", ["컵라면 용기", "나무젓가락"]),
        ("노트북이랑 충전기", ["노트북 컴퓨터", "어댑터"]),
        # A bin that bears the name of another thing.
        ("거울 유리병에 버려도 되나", ["거울"]),
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
