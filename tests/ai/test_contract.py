"""One suite over both providers: what clients may rely on, whoever answers."""

import pytest
from PIL import Image

from functions.ai.interfaces import PhotoProvider, Question, QuestionProvider
from functions.ai.labels import read_items
from shared.calls import Calls
from shared.errors import Unavailable
from shared.item_ids import item_id
from shared.messages import Answered, Photo, Place, Turn
from shared.waste_types import WASTE_TYPES
from tests import items
from tests.ai.test_embedded import jpeg, shipped
from tests.eval.at_work import AtWork

BOTH = pytest.mark.parametrize("which", ["embedded", "openai"])


@pytest.fixture
def photos(which: str, openai_task: AtWork) -> PhotoProvider:
    return next(provider for provider in openai_task.providers.photos if provider.provider == which)


@pytest.fixture
def questions(which: str, openai_task: AtWork, known: Calls) -> QuestionProvider:
    return next(provider for provider in openai_task.providers.questions if provider.provider == which)


@BOTH
@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg"])
def test_a_photo_has_one_type_of_the_contract_and_candidates_that_sum_to_one_at_most(
    photos: PhotoProvider, which: str, name: str
) -> None:
    answer = photos.classify(shipped(name), "")
    assert answer.waste_type in WASTE_TYPES
    assert 0 <= answer.confidence <= 1
    assert sum(candidate.confidence for candidate in answer.candidates) <= 1.0001
    assert all(candidate.waste_type in WASTE_TYPES for candidate in answer.candidates)
    assert [c.confidence for c in answer.candidates] == sorted((c.confidence for c in answer.candidates), reverse=True)
    if answer.waste_type != "unknown":
        assert answer.candidates[0].waste_type == answer.waste_type
    assert (answer.provider, answer.model) == (which, photos.model)
    assert answer.ask == [] or answer.ask == [candidate.waste_type for candidate in answer.candidates[:2]]
    known = {item_id(item): kind for item, kind in read_items().items()}
    assert answer.item_id is None or known[answer.item_id] == answer.waste_type


@BOTH
def test_a_photo_of_nothing_has_an_answer_too(photos: PhotoProvider) -> None:
    assert photos.classify(jpeg(Image.new("RGB", (40, 30), "white")), "").waste_type in WASTE_TYPES


def ask(provider: QuestionProvider, text: str, *said: str, place: Place | None = None) -> tuple[str, Answered]:
    pieces: list[str] = []
    history = tuple(turn for before in said for turn in (Turn("user", before), Turn("assistant", "…")))
    answer = provider.answer(Question(text, history, place), lambda *said: pieces.extend(said))
    assert "".join(pieces) == answer.text, "the pieces are the answer"
    return answer.text, answer.record


@BOTH
def test_an_answer_names_its_items_and_says_their_rules(questions: QuestionProvider, which: str) -> None:
    text, record = ask(questions, "우유팩은 어떻게 버려요?")
    assert [source.name for source in record.sources] == ["우유팩"]
    assert "헹" in text or "씻" in text
    assert (record.provider, record.model, record.language) == (which, questions.model, "ko")


@BOTH
def test_an_english_question_has_an_english_answer(questions: QuestionProvider) -> None:
    text, record = ask(questions, "How do I throw away a milk carton?")
    assert record.language == "en"
    assert [source.name for source in record.sources] == ["우유팩"]
    assert text.isascii() or not any("가" <= letter <= "힣" for letter in text)


@BOTH
def test_several_things_in_one_question_are_all_answered(questions: QuestionProvider) -> None:
    _, record = ask(questions, "피자박스랑 우유팩은 어떻게 버려요?")
    assert {source.name for source in record.sources} == {"피자 상자", "우유팩"}


@BOTH
def test_a_part_of_a_thing_and_a_follow_up_are_understood(questions: QuestionProvider) -> None:
    assert [source.name for source in ask(questions, "생수병 뚜껑은?")[1].sources] == ["페트병 뚜껑"]
    assert [source.name for source in ask(questions, "그럼 라벨은?", "생수병 어떻게 버려요?")[1].sources] == ["생수병"]


@BOTH
@pytest.mark.parametrize("text", ["오늘 날씨 어때?", "Write a poem about the sea", "노트북 추천해줘 게임용으로"])
def test_what_is_off_topic_is_declined_without_sources_and_without_cost(questions: QuestionProvider, text: str) -> None:
    _, record = ask(questions, text)
    assert record.sources == []
    assert record.provider == "embedded"


@BOTH
def test_the_nearest_center_is_looked_up_here_from_the_default_place(questions: QuestionProvider) -> None:
    text, record = ask(questions, "건전지 수거함 가까운 곳이 어디예요?")
    assert "기본 장소" in text, "without a place, say how to set one"
    text, record = ask(questions, "건전지 수거함 가까운 곳이 어디예요?", place=Place("집", 37.5, 127.0))
    assert "집" in text
    assert [source.name for source in record.sources] == ["건전지"]


@BOTH
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("형광등이 깨졌어요", "환기"),
        ("보조배터리가 부풀었는데 어떻게 버려?", "119"),
        ("I found a syringe, how do I throw it away?", "bare hands"),
    ],
)
def test_what_keeps_people_safe_is_the_first_line_whoever_answers(
    questions: QuestionProvider, text: str, words: str
) -> None:
    answer, record = ask(questions, text)
    assert words in answer.partition("\n")[0]
    assert record.sources


@BOTH
@pytest.mark.parametrize("text", ["쓰레기 봉투 가격이 얼마야", "무단투기 과태료 얼마예요", "which day is garbage day?"])
def test_what_no_item_says_is_no_item_and_costs_nothing(questions: QuestionProvider, text: str) -> None:
    answer, record = ask(questions, text, place=Place("집", 37.5, 127.0, "마포구"))
    assert "마포구" in answer.partition("\n")[0]
    assert (record.sources, record.provider) == ([], "embedded")


@BOTH
def test_a_question_about_a_photo_is_about_its_item(questions: QuestionProvider, which: str) -> None:
    photo = Photo("success", "metal", 0.9, item_id=item_id("umbrella"))
    pieces: list[str] = []
    answer = questions.answer(Question("이거 어떻게 버려?", photo=photo), lambda *said: pieces.extend(said))
    assert [source.name for source in answer.record.sources] == ["우산"]
    assert (answer.record.provider, "".join(pieces)) == (which, answer.text)


@BOTH
def test_a_photo_of_which_no_item_is_known_costs_nothing(questions: QuestionProvider) -> None:
    answer = questions.answer(Question("왜 플라스틱이야?", photo=Photo("success", "plastic", 0.7)), lambda *_: None)
    assert "70%" in answer.text
    assert (answer.record.sources, answer.record.provider) == ([], "embedded")


@BOTH
def test_recycle_info_away_means_not_now(which: str, openai_task: AtWork) -> None:
    openai_task.calls = Calls({"api-recycle-info": "http://127.0.0.1:9"})
    for provider in openai_task.providers.questions:
        if provider.provider == which:
            with pytest.raises(Unavailable):
                ask(provider, "우유팩은 어떻게 버려요?")


def test_every_line_of_an_embedded_answer_is_an_items_own(task: AtWork, known: Calls) -> None:
    from tests.eval.questions import grounded, own_lines

    lines = own_lines()
    provider = task.providers.questions[-1]
    for file in items.files():
        for item in file.items[:3]:
            for text in (f"{item.name} 버리는 방법", f"how to dispose of {item.name_en}"):
                answer = provider.answer(Question(text), lambda *_: None)
                assert grounded(answer, lines), answer.text
