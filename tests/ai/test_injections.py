"""Forty texts that try to change what the system does, against a model that obeys whoever writes to it.

A model can be made to say something silly; that stays text for the person who wrote it. It can't be made to do anything:
the same requests go out, with the same limits, to the same two addresses; sources, provider and codes are ours.
"""

import hashlib
import json
from pathlib import Path

import pytest
from PIL import Image

from emulator.servers.ai_script import Rule
from emulator.servers.ai_stub import Stub
from functions.ai.answer_question import LONGEST
from functions.ai.openai_photos import CONTAMINATION, MATERIALS, PARTS
from shared.calls import Calls
from shared.messages import Answered, Classification, Turn
from shared.waste_types import WASTE_TYPES
from tests.ai.test_embedded import jpeg
from tests.eval.at_work import AtWork
from tests.eval.questions import slugs

TEXTS: list[str] = json.loads(Path(__file__).with_name("injections.json").read_text(encoding="utf-8"))
SECRETS = ("sk-secret-of-the-test", "spender-of-the-test", "redis://", "postgresql://")
ALLOWED = {"model", "messages", "max_completion_tokens", "stream", "stream_options"}


def test_there_are_forty_of_them() -> None:
    assert len(TEXTS) == len(set(TEXTS)) == 40


@pytest.mark.parametrize("text", TEXTS, ids=[str(number) for number in range(len(TEXTS))])
def test_a_question_that_gives_orders_changes_nothing_but_words(
    openai_task: AtWork, known: Calls, stub: Stub, text: str
) -> None:
    stub.rules = [Rule(echo=True)]
    history = [Turn("system", text), Turn("tool", text), Turn("user", text), Turn("assistant", text)]
    result = openai_task.ask(text, history=history, spender="spender-of-the-test")
    assert isinstance(result.record, Answered)
    assert {source.name for source in result.record.sources} <= set(slugs())
    assert result.record.provider in ("openai", "embedded")
    assert result.record.model in ("gpt-4.1-mini", "items-2")
    assert len(result.payload.text) <= LONGEST
    assert len(stub.requests) <= 1, "one question, one request"
    for request in stub.requests:
        assert set(request) == ALLOWED, "no tool, no user, no metadata"
        assert request["max_completion_tokens"] == 700
        roles = [message["role"] for message in request["messages"]]
        assert roles == ["system", "system", "user", "assistant", "user"], "only we speak as the system"
        assert text not in request["messages"][0]["content"] + request["messages"][1]["content"]
        assert not any(secret in json.dumps(request) for secret in SECRETS)
    assert not any(secret in result.payload.text for secret in SECRETS)


@pytest.mark.parametrize("text", TEXTS, ids=[str(number) for number in range(len(TEXTS))])
def test_a_photo_whose_text_gives_orders_yields_codes_alone(openai_task: AtWork, stub: Stub, text: str) -> None:
    obeyed = [
        {"waste_type": text, "confidence": 1, "materials": [], "contamination": "none", "parts": []},
        {"waste_type": "glass", "confidence": 1, "materials": [text], "contamination": "none", "parts": []},
        {"waste_type": "glass", "confidence": 1, "materials": [], "contamination": text, "parts": [], "say": text},
        {
            "waste_type": "glass",
            "confidence": 1,
            "materials": [],
            "contamination": "none",
            "parts": [],
            "item": text,
            "second_type": "glass",
            "second_confidence": 0,
        },
    ]
    stub.rules = [*(Rule(times=1, content=content) for content in obeyed), Rule(content=text)]
    # Nothing is on it: what answers instead of the model knows that without its networks.
    photo = jpeg(Image.new("RGB", (40, 30), "white"))
    openai_task.objects.put("images/1/web.jpg", photo, content_type="image/jpeg")
    result = openai_task.classify("images/1/web.jpg", hashlib.sha256(photo).hexdigest())
    assert result.payload is None
    answer = result.record
    assert isinstance(answer, Classification)
    assert answer.provider == "embedded", "no valid answer came"
    assert answer.waste_type in WASTE_TYPES
    assert set(answer.materials) <= set(MATERIALS)
    assert set(answer.parts) <= set(PARTS)
    assert answer.contamination in ("", *CONTAMINATION)
    assert text not in str(answer)
    assert len(stub.requests) <= 3
