import hashlib
import time

import pytest
from prometheus_client import REGISTRY

from emulator.servers.ai_script import Rule
from emulator.servers.ai_stub import Stub
from functions.ai.cache import look
from shared.item_ids import item_id
from shared.messages import Classification
from tests.ai.test_embedded import shipped
from tests.eval.at_work import AtWork
from tests.storage import photos as made

KEY = "images/1/a-web.jpg"
GLASS = {
    "waste_type": "glass",
    "confidence": 0.91,
    "materials": ["glass", "steel"],
    "contamination": "light",
    "parts": ["cap"],
}


def run(openai_task: AtWork, photo: bytes | None = None, spender: str = "someone") -> Classification:
    photo = photo or shipped("coffee.png")
    openai_task.objects.put(KEY, photo, content_type="image/jpeg")
    result = openai_task.classify(KEY, hashlib.sha256(photo).hexdigest(), spender=spender)
    assert isinstance(result.record, Classification)
    return result.record


def counted(kind: str) -> list[float]:
    """How often each provider had no answer, and one: of the OpenAI-compatible one, then of the embedded one."""
    return [
        REGISTRY.get_sample_value(f"eco2_ai_{name}_total", {"kind": kind, "provider": provider}) or 0
        for provider in ("openai", "embedded")
        for name in ("provider_failures", "answers")
    ]


def test_the_answer_is_codes_of_the_schema(openai_task: AtWork, stub: Stub) -> None:
    stub.rules = [Rule(content=GLASS)]
    answer = run(openai_task)
    assert (answer.waste_type, answer.confidence, answer.provider) == ("glass", 0.91, "openai")
    assert (answer.materials, answer.contamination, answer.parts) == (["glass", "steel"], "light", ["cap"])


def test_only_the_instructions_and_the_web_size_image_leave(openai_task: AtWork, stub: Stub) -> None:
    run(openai_task, shipped("coffee.png"))
    (request,) = stub.requests
    assert set(request) == {"model", "messages", "max_completion_tokens", "response_format"}
    system, user = request["messages"]
    assert [part["type"] for part in user["content"]] == ["image_url"]
    assert user["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,"), "never a link"
    text = str(request)
    assert "images/1" not in text
    assert "someone" not in text
    assert "metadata" not in request
    assert stub.headers[0]["authorization"] == "Bearer sk-secret-of-the-test"
    assert "secret" not in system["content"]


@pytest.mark.parametrize(
    "rule",
    [
        Rule(refusal="I can't help with that."),
        Rule(content=GLASS, finish="content_filter"),
        Rule(content="no JSON at all"),
        Rule(content={"waste_type": "glass"}),
        Rule(content=GLASS | {"waste_type": "gold"}),
        Rule(content=GLASS | {"confidence": 7}),
        Rule(content=GLASS | {"note": "call me"}),
        Rule(content=GLASS | {"parts": ["<script>"]}),
        Rule(content=GLASS | {"item": "no-such-item"}),
        Rule(content=GLASS | {"second_type": "gold"}),
        Rule(content=GLASS, finish="length"),
        Rule(content=""),
        Rule(raw="<html>a proxy's page</html>"),
        Rule(raw="{}"),
        Rule(drop=True),
        Rule(status=500),
        Rule(status=429, retry_after=0),
        Rule(status=429, code="insufficient_quota"),
        Rule(status=401),
        Rule(status=400),
    ],
    ids=lambda rule: str(rule)[5:60] if isinstance(rule, Rule) else None,
)
def test_whatever_goes_wrong_the_embedded_provider_answers_and_says_so(
    openai_task: AtWork, stub: Stub, rule: Rule
) -> None:
    stub.rules = [rule]
    before = counted("photo")
    answer = run(openai_task)
    assert [now - was for now, was in zip(counted("photo"), before, strict=True)] == [1, 0, 0, 1]
    assert (answer.provider, answer.waste_type) == ("embedded", "general")
    assert 1 <= len(stub.requests) <= 3


def test_a_busy_server_is_asked_again_after_a_pause(openai_task: AtWork, stub: Stub) -> None:
    stub.rules = [Rule(times=1, status=429, retry_after=0.2), Rule(times=1, status=503), Rule(content=GLASS)]
    assert run(openai_task).provider == "openai"
    assert len(stub.requests) == 3


def test_an_invalid_answer_is_asked_for_again(openai_task: AtWork, stub: Stub) -> None:
    stub.rules = [Rule(times=1, content="{"), Rule(content=GLASS)]
    assert run(openai_task).waste_type == "glass"


def test_a_server_that_wants_a_long_pause_is_not_waited_for(openai_task: AtWork, stub: Stub) -> None:
    stub.rules = [Rule(status=429, retry_after=60)]
    assert run(openai_task).provider == "embedded"
    assert len(stub.requests) == 1


def test_a_slow_server_is_left_at_the_deadline(
    openai_task: AtWork, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_PATIENCE", "1")
    stub.rules = [Rule(seconds=20)]
    begun = time.monotonic()
    assert run(openai_task).provider == "embedded"
    assert time.monotonic() - begun < 15


def test_a_stand_ins_answer_is_not_kept(openai_task: AtWork, stub: Stub) -> None:
    stub.rules = [Rule(times=1, status=400), Rule(content=GLASS)]
    assert run(openai_task).provider == "embedded"
    assert run(openai_task).provider == "openai"


def test_the_same_photo_is_paid_for_once(openai_task: AtWork, stub: Stub) -> None:
    assert run(openai_task) == run(openai_task)
    assert len(stub.requests) == 1


def test_nearly_the_same_photo_is_paid_for_once(openai_task: AtWork, stub: Stub) -> None:
    first = made.encode(made.picture(800, 600), quality=95)
    second = made.encode(made.picture(800, 600).resize((640, 480)), quality=60)
    assert look(first).distance(look(second)) is not None
    assert run(openai_task, first) == run(openai_task, second)
    assert len(stub.requests) == 1
    run(openai_task, shipped("coffee.png"))
    assert len(stub.requests) == 2, "another photo is another question"


def test_an_unsure_answer_is_unknown_with_its_candidate(openai_task: AtWork, stub: Stub) -> None:
    stub.rules = [Rule(content=GLASS | {"confidence": 0.2})]
    answer = run(openai_task)
    assert (answer.waste_type, answer.confidence) == ("unknown", 0.2)
    assert [candidate.waste_type for candidate in answer.candidates] == ["glass"]


def test_the_item_is_named_by_its_code_and_only_where_it_is_of_the_answers_type(
    openai_task: AtWork, stub: Stub
) -> None:
    stub.rules = [Rule(content=GLASS | {"item": "wine-bottle"})]
    assert run(openai_task).item_id == item_id("wine-bottle")
    stub.rules = [Rule(content=GLASS | {"item": "frying-pan"})]
    assert run(openai_task, shipped("rocket.jpg")).item_id is None
    choices = stub.requests[0]["response_format"]["json_schema"]["schema"]["properties"]["item"]["enum"]
    assert "wine-bottle" in choices
    assert len(choices) <= 500
    assert sum(map(len, choices)) <= 15_000, "what a strict schema may hold in a list"


def test_two_types_that_are_close_are_asked_about(openai_task: AtWork, stub: Stub) -> None:
    stub.rules = [Rule(content=GLASS | {"confidence": 0.5, "second_type": "pet_clear", "second_confidence": 0.9})]
    answer = run(openai_task)
    assert [(one.waste_type, one.confidence) for one in answer.candidates] == [("glass", 0.5), ("pet_clear", 0.5)]
    assert answer.ask == ["glass", "pet_clear"]


def test_what_it_says_is_unknown_stays_so_and_its_second_type_is_a_candidate(openai_task: AtWork, stub: Stub) -> None:
    nothing = {"waste_type": "unknown", "confidence": 0.5, "second_type": "metal", "second_confidence": 0.5}
    stub.rules = [Rule(content=GLASS | nothing | {"item": "tools"})]
    answer = run(openai_task)
    assert (answer.waste_type, answer.confidence, answer.item_id) == ("unknown", 0.5, None)
    assert [one.waste_type for one in answer.candidates] == ["metal"]


def test_a_server_that_counts_no_tokens_is_counted_for(openai_task: AtWork, stub: Stub) -> None:
    stub.rules = [Rule(content=GLASS, usage=False)]
    assert run(openai_task).provider == "openai"
