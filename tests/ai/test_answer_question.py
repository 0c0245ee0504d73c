"""The function that answers questions: what it streams and returns, what it bounds, and for whom an answer is kept."""

from collections.abc import Callable

import pytest
from msgspec import structs

from emulator.servers.ai_script import Rule
from emulator.servers.ai_stub import Stub
from functions.ai.answer_question import LONGEST
from functions.ai.interfaces import Answer, ProviderFailed, Question
from shared.calls import Calls
from shared.item_ids import item_id
from shared.messages import Answered, Photo, Place, Turn
from shared.tasks import TaskFailed
from tests.ai.reading import tokens
from tests.eval.at_work import AtWork


def test_the_actor_streams_the_answer_and_returns_it(task: AtWork, known: Calls) -> None:
    result = task.ask("우유팩은 어떻게 버려요?")
    assert isinstance(result.record, Answered)
    assert "".join(text for _, text in tokens(task)) == result.payload.text
    assert result.record.sources[0].name == "우유팩"
    assert "우유팩은 어떻게" not in str(result.record), "a person's words are in no record"


def test_the_actor_bounds_what_a_model_writes(openai_task: AtWork, known: Calls, stub: Stub) -> None:
    stub.rules = [Rule(content="말" * 50 + " " + "긴말 " * 1400 + "\x00")]
    result = openai_task.ask("우유팩은 어떻게 버려요?")
    assert len(result.payload.text) <= LONGEST
    assert "\x00" not in result.payload.text
    assert sum(len(text) for _, text in tokens(openai_task)) <= LONGEST


def test_an_answer_cut_in_the_middle_begins_anew_as_another_run(openai_task: AtWork, known: Calls, stub: Stub) -> None:
    stub.rules = [Rule(content="이렇게 버리면 되는데 그만", cut_after=2)]
    result = openai_task.ask("우유팩은 어떻게 버려요?")
    assert result.record.provider == "embedded"
    runs = [run for run, _ in tokens(openai_task)]
    assert len(set(runs)) == 2, "listeners see another run, and discard the first one's tokens"
    last = [text for run, text in tokens(openai_task) if run == runs[-1]]
    assert "".join(last) == result.payload.text


def test_an_identical_question_is_paid_for_once(openai_task: AtWork, known: Calls, stub: Stub) -> None:
    first = openai_task.ask("우유팩은 어떻게 버려요?")
    again = openai_task.ask("  우유팩은  어떻게 버려요? ")
    assert first.record == again.record
    assert first.payload.text == again.payload.text
    assert len(stub.requests) == 1
    openai_task.ask("우유팩은 어떻게 버려요?", history=[Turn("user", "안녕")])
    assert len(stub.requests) == 2, "another conversation may mean another answer"


class Unsure:
    """A provider that knows no item."""

    provider = model = "unsure"
    asked = 0

    def answer(self, question: Question, token: Callable[[str], None]) -> Answer:
        self.asked += 1
        return Answer("잘 모르\0겠어요.", Answered([], self.provider, self.model, "ko"))


def test_an_answer_that_rests_on_no_item_is_asked_for_again_and_no_nul_reaches_a_row(openai_task: AtWork) -> None:
    """Where nothing was found, tomorrow an item may be."""
    unsure = Unsure()
    providers = structs.replace(openai_task.providers, questions=(unsure, *openai_task.providers.questions))
    for _ in range(2):
        result = openai_task.ask("무엇이든 어떻게 버려요?", providers=providers)
        assert (result.record.provider, result.payload.text) == ("unsure", "잘 모르겠어요.")
    assert unsure.asked == 2


def test_without_any_provider_the_task_fails_with_a_sentence(task: AtWork) -> None:
    with pytest.raises(TaskFailed, match="not-answered"):
        task.ask("?", providers=structs.replace(task.providers, questions=(Silent(),)))


class Silent:
    """A provider that never has an answer."""

    provider = model = "silent"

    def answer(self, question: Question, token: Callable[[str], None]) -> Answer:
        raise ProviderFailed("silent")


HOME = Place("집", 37.5, 127.0, "마포구")
UMBRELLA = Photo("success", "metal", 0.9, item_id=item_id("umbrella"))


@pytest.mark.parametrize("own", [{"place": HOME}, {"place_away": True}, {"photo": UMBRELLA}])
def test_an_answer_that_may_be_one_persons_own_is_kept_for_no_one(
    openai_task: AtWork, known: Calls, stub: Stub, own: dict[str, object]
) -> None:
    stub.rules = [Rule(times=1, content="집 근처 마포구에서 이렇게 버려요."), Rule(content="이렇게 버려요.")]
    first = openai_task.ask("우유팩은 어떻게 버려요?", **own)
    assert first.record.provider == "openai"
    again = openai_task.ask("우유팩은 어떻게 버려요?")
    assert (again.payload.text, len(stub.requests)) == ("이렇게 버려요.", 2), "someone else's answer is their own"


def test_an_answer_that_was_kept_is_not_given_to_someone_at_home(openai_task: AtWork, known: Calls, stub: Stub) -> None:
    openai_task.ask("우유팩은 어떻게 버려요?")
    openai_task.ask("우유팩은 어떻게 버려요?", place=HOME)
    openai_task.ask("우유팩은 어떻게 버려요?", photo=UMBRELLA)
    assert len(stub.requests) == 3


def test_a_photo_goes_along_in_codes(openai_task: AtWork, known: Calls, stub: Stub) -> None:
    openai_task.ask("이거 어떻게 버려?", photo=UMBRELLA)
    known_rules = stub.requests[0]["messages"][1]["content"]
    assert '"photo":{"kind":"캔·고철류","confidence":0.9' in known_rules
    assert str(UMBRELLA.item_id) not in known_rules


def test_what_is_asked_and_its_answer_go_along(openai_task: AtWork, known: Calls, stub: Stub) -> None:
    openai_task.ask("우유팩 안 헹궈도 돼요?")
    known_rules = stub.requests[0]["messages"][1]["content"]
    assert '"asked":{"aspects":["rinse"]}' in known_rules
    assert '"answer":["아니요, ' in known_rules


def test_the_line_of_safety_is_ours_and_comes_before_the_models_words(
    openai_task: AtWork, known: Calls, stub: Stub
) -> None:
    stub.rules = [Rule(content="조각을 치우세요.")]
    result = openai_task.ask("형광등이 깨졌어요")
    assert result.payload.text.startswith("먼저 창문을 열어 환기하세요.")
    assert result.payload.text.endswith("\n\n조각을 치우세요.")
    assert "".join(text for _, text in tokens(openai_task)) == result.payload.text
