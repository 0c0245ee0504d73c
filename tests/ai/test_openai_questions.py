import pytest

from emulator.servers.ai_script import Rule
from emulator.servers.ai_stub import Stub
from functions.ai.openai_questions import HISTORY_LETTERS, REMOVED, history, without_personal
from shared.calls import Calls
from shared.messages import Place, Turn
from tests.ai.reading import tokens
from tests.ai.test_openai_photos import counted
from tests.eval.at_work import AtWork


@pytest.mark.parametrize(
    "text",
    [
        "hong.gildong@example.com",
        "010-1234-5678",
        "+82 10 1234 5678",
        "02)123-4567",
        "900101-1234567",
        "4111 1111 1111 1111",
        "37.5665, 126.9780",
        "테헤란로 152",
        "역삼동 823-1",
        "101동 1203호",
        "https://example.com/me?token=1",
    ],
)
def test_what_tells_who_or_where_somebody_is_does_not_leave(text: str) -> None:
    cleaned = without_personal(f"저는 {text} 에 살아요. 우유팩 2개는 어떻게 버려요?")
    assert text not in cleaned
    assert REMOVED in cleaned
    assert "우유팩 2개는 어떻게 버려요?" in cleaned


def test_ordinary_questions_stay_as_they_are() -> None:
    for text in (
        "500ml 생수병 3개는요?",
        "2리터 페트병",
        "LED 전구 10W",
        "how do I recycle 12 bottles?",
        "길에서 주운 캔",
    ):
        assert without_personal(text) == text


def test_history_is_cut_to_its_budget_oldest_first_out() -> None:
    turns = tuple(Turn("user" if n % 2 == 0 else "assistant", f"{n} " + "말" * 700) for n in range(10))
    kept = history(turns)
    assert sum(len(turn.content) for turn in kept) <= HISTORY_LETTERS
    assert kept[-1].content.startswith("9 ")
    assert len(kept) == 4


def test_only_rules_question_and_conversation_leave(openai_task: AtWork, known: Calls, stub: Stub) -> None:
    openai_task.ask(
        "우유팩은 어떻게 버려요? 제 번호는 010-1234-5678",
        history=[Turn("user", "me@example.com 안녕하세요"), Turn("assistant", "안녕하세요")],
        place=Place("우리 집", 37.123456, 127.123456),
        spender="spender-of-mine",
    )
    (request,) = stub.requests
    text = str(request)
    for secret in ("010-1234", "me@example.com", "우리 집", "37.12", "127.12", "spender-of-mine"):
        assert secret not in text
    assert "우유팩" in request["messages"][1]["content"], "the rules are there"


def test_tokens_come_while_the_model_is_still_writing(openai_task: AtWork, known: Calls, stub: Stub) -> None:
    stub.rules = [Rule(content="하나 둘 셋 넷 다섯")]
    result = openai_task.ask("우유팩은 어떻게 버려요?")
    assert result.record.provider == "openai"
    assert [text for _, text in tokens(openai_task)] == ["하나", " 둘", " 셋", " 넷", " 다섯"]


@pytest.mark.parametrize(
    "rule",
    [
        Rule(refusal="no"),
        Rule(content="x", finish="content_filter"),
        Rule(status=500),
        Rule(status=429, retry_after=30),
        Rule(drop=True),
        Rule(content=""),
        Rule(content="하나 둘 셋", cut_after=1),
        Rule(content="하나 둘 셋", finish="length"),
        Rule(content="하나 둘 셋", token_seconds=3),
        Rule(content="하나 둘 셋 넷 다섯 여섯 일곱", token_seconds=0.5),
    ],
    ids=["refusal", "filter", "error", "busy", "drop", "empty", "cut", "length", "slow", "one by one"],
)
def test_whatever_goes_wrong_the_embedded_provider_answers(
    openai_task: AtWork, known: Calls, stub: Stub, rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_PATIENCE", "2")
    stub.rules = [rule]
    before = counted("question")
    result = openai_task.ask("우유팩은 어떻게 버려요?")
    assert [now - was for now, was in zip(counted("question"), before, strict=True)] == [1, 0, 0, 1]
    assert result.record.provider == "embedded"
    assert result.payload.text.startswith("우유팩")


def test_a_failure_before_the_first_token_is_tried_again(openai_task: AtWork, known: Calls, stub: Stub) -> None:
    stub.rules = [Rule(times=1, status=503), Rule(content="이렇게 버려요")]
    assert openai_task.ask("우유팩은 어떻게 버려요?").record.provider == "openai"


def test_what_keeps_people_safe_comes_before_the_model_s_first_word(
    openai_task: AtWork, known: Calls, stub: Stub
) -> None:
    stub.rules = [Rule(content="하나 둘")]
    result = openai_task.ask("부탄가스 캔에서 가스가 새요. 어떻게 버려요?")
    said = [text for _, text in tokens(openai_task)]
    assert result.record.provider == "openai"
    assert "119" in said[0]
    assert (said[1:], "".join(said)) == (["하나", " 둘"], result.payload.text)
