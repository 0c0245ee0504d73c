"""What is asked after a thing, in wording that the evaluation's sets do not hold."""

import pytest

from functions.ai.interfaces import Question
from functions.ai.questions import EmbeddedQuestions
from functions.ai.retrieval import Item, Neighbours
from functions.ai.rules import understand
from shared.calls import Calls
from shared.messages import Photo, Turn


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


@pytest.mark.parametrize(
    ("said", "things", "line"),
    [
        # A turn that leans on an earlier one is about that one.
        (["스티로폼 상자 어떻게 버려?", "테이프 붙어 있으면?", "더러우면?"], ["스티로폼 상자"], "씻어도"),
        (["깨진 유리 버려", "신문지에 싸면 돼?", "많으면?"], ["깨진 유리"], "깨진 유리"),
        (["노트북 버리려는데", "사진은 어떻게 해?", "배터리는 빼야 돼?"], ["노트북 컴퓨터"], "네"),
        # What a thing is of.
        (["화분 버려", "플라스틱이야"], ["플라스틱 화분"], "플라스틱으로"),
        (["옷걸이 버려", "나무야"], ["나무 옷걸이"], ""),
        (["도마 버려", "나무야", "플라스틱은?"], ["플라스틱 도마"], "플라스틱류"),
        # A thing's own, before others of that name; also of the thing before last.
        (["휴대폰 버리는 법", "충전기는?", "케이스는?"], ["휴대전화 케이스"], "종량제"),
        (["자전거 버릴래", "타이어는?"], ["자전거 타이어"], "종량제"),
        (["페인트 버려", "굳었어", "통은?"], ["페인트통"], "고철"),
        # Both.
        (["우유팩 버려", "박스 버려", "두 개 같이 묶어도 돼?"], ["우유팩", "종이상자"], "아니요, 따로"),
        (["우유팩 버리는 법", "두유팩도 똑같이?", "둘이 같이 내도 돼?"], ["우유팩", "멸균팩"], "네, 같은 곳"),
        (["배달용기 버려", "뚜껑은?", "같이 버려도 돼?"], ["배달 용기"], "뚜껑은 함께"),
        (["안에 있는 사진은 어떡해", "노트북 고장났어", "안에 있는 사진은 어떡해"], ["노트북 컴퓨터"], "개인정보"),
        (["신발 버려", "한 짝만 있어", "그래도 의류수거함?"], ["신발"], ""),
        (["기저귀 버려", "똥은?", "비닐에 싸서?"], ["기저귀"], ""),
        # What it is in, and what only says which one.
        (["감자 껍질 버려", "썩은 것도?", "봉지째"], ["감자 껍질"], "비닐"),
        (["의자 버려", "바퀴 달린 거는요?"], ["의자"], "대형폐기물"),
        (["액자 어떻게 버려", "유리 들어 있는 거"], ["액자"], ""),
    ],
)
def test_what_is_said_in_several_turns_is_about_what_they_come_back_to(
    known: Calls, said: list[str], things: list[str], line: str
) -> None:
    found, first = answered_last(known, said)
    assert found == things
    assert line in first


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (["페트병 버려", "다시 말해줘"], "투명 페트병"),
        (["우유팩 어떻게 버려", "영어로 알려줘"], "Milk carton"),
        (["plastic bottle", "in Korean please"], "투명 페트병"),
        (["우유팩 버려", "헹궈야 해?", "뭐라고?"], "네"),
    ],
)
def test_the_same_is_said_again_in_the_language_that_is_asked_for(known: Calls, said: list[str], line: str) -> None:
    assert answered_last(known, said)[1].startswith(line)


def answered_last(known: Calls, said: list[str]) -> tuple[list[str], str]:
    """The things that the answer to the last turn is about, and its first line; each turn before has its answer."""
    provider = EmbeddedQuestions(Neighbours(known))
    history: tuple[Turn, ...] = ()
    for text in said:
        answer = provider.answer(Question(text, history), lambda *_: None)
        history = (*history, Turn("user", text), Turn("assistant", answer.text))
    return [source.name for source in answer.record.sources], answer.text.partition("\n")[0]


@pytest.mark.parametrize(
    ("seen", "text", "line"),
    [
        ("unknown", "플라스틱이야", "플라스틱류라면"),
        ("unknown", "비닐이야", "비닐류라면"),
        ("lighting", "깨졌어", "먼저 창문을"),
        ("glass", "깨졌으면?", "베이지 않게"),
    ],
)
def test_what_is_told_after_a_photo_is_about_what_it_shows(known: Calls, seen: str, text: str, line: str) -> None:
    history = (Turn("user", "이거 뭐야"), Turn("assistant", "…"))
    asked = Question(text, history, photo=Photo("success", seen, 0.7, turns_ago=1))
    answer = EmbeddedQuestions(Neighbours(known)).answer(asked, lambda *_: None)
    assert line in answer.text.split("\n\n", 1)[0]


def test_what_several_rules_look_at_is_searched_for_once(known: Calls) -> None:
    asked: list[tuple[str, int]] = []

    class Counted(Neighbours):
        def search(self, query: str, limit: int = 20) -> list[Item]:
            asked.append((query, limit))
            return super().search(query, limit)

    said = [
        Turn("user", "냉장고 새로 샀어"),
        Turn("assistant", "…"),
        Turn("user", "헌 건 어떻게 버려?"),
        Turn("assistant", "…"),
    ]
    understand(Question("기사님이 가져가나?", tuple(said)), Counted(known))
    assert len(asked) == len(set(asked)) > 1
