"""What is asked after a thing, in wording that the evaluation's sets do not hold."""

import pytest

from functions.ai.interfaces import Question
from functions.ai.questions import EmbeddedQuestions
from functions.ai.retrieval import Neighbours
from shared.calls import Calls
from shared.messages import Turn


def answered(known: Calls, said: str, text: str) -> tuple[list[str], str]:
    """The things that the answer is about, and its first line."""
    history = (Turn("user", said), Turn("assistant", "…"))
    answer = EmbeddedQuestions(Neighbours(known)).answer(Question(text, history), lambda *_: None)
    return [source.name for source in answer.record.sources], answer.text.partition("\n")[0]


@pytest.mark.parametrize(
    ("said", "text", "thing", "line"),
    [
        ("샴푸통 플라스틱 맞죠?", "그럼 쇠 스프링 든 펌프 머리는", "펌프", "종량제봉투"),
        ("운동화 헌 거", "끈은 풀어서 버려야 해?", "운동화", "끈과 깔창"),
        ("핸드폰 버리려고", "사진은 다 지워야 돼?", "휴대전화", "네, 초기화"),
        ("티백", "끈이랑 종이는 떼요?", "티백", "그대로"),
        ("장난감 어떻게 버려요?", "건전지는 빼야죠?", "플라스틱 장난감", "네, 건전지를 빼서"),
        ("액자 버릴래요", "유리는 빼서 유리병에 넣으면 되죠?", "액자", "아니요"),
        ("선풍기 버릴 건데", "날개는 플라스틱이죠?", "선풍기", "아니요"),
        ("식용유 남은 거", "병은요?", "식용유통", "식용유"),
        ("양은냄비 버릴래", "냄비는 알겠고 유리 뚜껑은?", "유리 냄비 뚜껑", "불연성"),
    ],
)
def test_a_part_of_what_was_spoken_of_comes_before_a_thing_that_shares_its_name(
    known: Calls, said: str, text: str, thing: str, line: str
) -> None:
    things, first = answered(known, said, text)
    assert things == [thing]
    assert line in first


@pytest.mark.parametrize(
    ("said", "text", "thing", "word"),
    [
        ("수박 껍질은 음식물이죠?", "파인애플 껍질도 똑같이 하면 되죠?", "파인애플 껍질", "아니요"),
        ("건전지 어디에 버려요?", "보조배터리도 거기에 넣어요?", "보조배터리", "네"),
        ("계란 껍데기는 어디에 버려요?", "메추리알 껍데기도요?", "메추리알 껍질", "네"),
        ("기저귀", "물티슈도 같이 넣어도 돼요?", "물티슈", "네"),
        # What is worn goes elsewhere than what is not.
        ("슬리퍼", "부츠도?", "구두", "구두"),
    ],
)
def test_whether_another_thing_goes_the_same_way_is_yes_or_no_by_its_bin(
    known: Calls, said: str, text: str, thing: str, word: str
) -> None:
    things, first = answered(known, said, text)
    assert things == [thing]
    assert first.startswith(word)


@pytest.mark.parametrize("text", ["변기는 안 되는 거죠?", "변기에는 안 되죠?", "변기에는 넣으면 안 되죠?"])
def test_a_toilet_that_is_asked_about_after_a_thing_is_not_thrown_away(known: Calls, text: str) -> None:
    things, first = answered(known, "물티슈는 일반쓰레기죠?", text)
    assert things == ["물티슈"]
    assert first.startswith("네, 변기에")


def test_what_swells_after_it_was_spoken_of_is_a_danger(known: Calls) -> None:
    assert answered(known, "건전지 통에 넣어? 보조배터리는", "그거 부풀어 올랐는데 괜찮아?")[1].startswith("불이 날 수")


def test_how_a_thing_was_said_to_be_holds_for_what_goes_on_from_that(known: Calls) -> None:
    assert "신문지로 여러 겹" in answered(known, "유리병 깨졌어요", "그럼 신문지에 싸면 되나요?")[1]
    assert answered(known, "피자 박스에 치즈가 붙었어요", "그럼 그냥 종이로 내도 되나요?")[1].startswith("아니요")


def test_what_was_told_beside_a_thing_is_not_spoken_of(known: Calls) -> None:
    said = "젤 아이스팩 어떻게 버려요, 고기 택배에 들어 있던 거"
    assert answered(known, said, "물로 된 건요?")[0] == ["아이스팩"]


@pytest.mark.parametrize(
    ("said", "text", "line"),
    [
        ("노트북 버릴 때", "하드는 어떻게 해요?", "노트북"),
        ("매트리스 버리려면 얼마예요?", "어디에 신고해요?", "주민센터"),
        ("장롱 버리려면 어떻게 해요", "거기 붙일 스티커는 얼만데?", "알지 못해요"),
    ],
)
def test_a_short_question_after_a_thing_is_not_declined(known: Calls, said: str, text: str, line: str) -> None:
    assert line in answered(known, said, text)[1]


def test_other_talk_after_a_thing_is_declined(known: Calls) -> None:
    assert answered(known, "노트북 버릴 때", "정치 얘기 해줘")[0] == []
