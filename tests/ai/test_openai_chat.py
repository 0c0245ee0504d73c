"""One step with an OpenAI-compatible server: what is asked again, how long, and what is on the bill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from functions.ai import openai_chat
from functions.ai.interfaces import ProviderFailed
from functions.ai.openai_chat import TRIES, Chat, Usage
from shared import clock
from shared.errors import Unavailable
from shared.settings import Settings

if TYPE_CHECKING:
    import openai

READING, WRITING = 40, 20
REQUEST = httpx.Request("POST", "http://here")


class Purse:
    """What was set aside and what was paid, in tokens."""

    def __init__(self) -> None:
        self.reserved: list[int] = []
        self.paid: list[int] = []
        self.away = False

    def reserve(self, spender: str, tokens: int, micros: int) -> str:
        self.reserved.append(tokens)
        return spender

    def settle(self, reserved: str, tokens: int, micros: int) -> None:
        if self.away:
            raise Unavailable("broker")
        self.paid.append(tokens)


@pytest.fixture
def purse() -> Purse:
    return Purse()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr(clock, "sleep", pauses.append)
    return pauses


@pytest.fixture
def chat(purse: Purse, slept: list[float]) -> Chat:
    paid: Any = purse
    return Chat(Settings(openai_api_key="sk-of-the-test", openai_patience=8.0), paid)


def tried(chat: Chat, ask: Callable[[float], Any], said: Callable[[], int] = lambda: 0) -> Any:
    return chat._tries("model", ask, "someone", None, READING, WRITING, said)


def status(number: int, code: str | None = None) -> openai.APIStatusError:
    import openai  # a second of CPU, which each process that collects this file would take

    kind = openai.RateLimitError if number == 429 else openai.APIStatusError
    return kind("no", response=httpx.Response(number, request=REQUEST), body={"code": code})


def lost(cause: type[httpx.TransportError], kind: str = "APIConnectionError") -> openai.APIConnectionError:
    import openai

    error: openai.APIConnectionError = getattr(openai, kind)(request=REQUEST)
    error.__cause__ = cause("gone")
    return error


@pytest.mark.parametrize(
    ("error", "tries", "costs"),
    [
        *((partial(status, number), TRIES, 0) for number in (408, 409, 429, 500, 503)),
        *((partial(status, number), 1, 0) for number in (400, 401, 404, 410, 422, 499)),
        (partial(status, 429, "insufficient_quota"), 1, 0),
        (partial(lost, httpx.ConnectError), TRIES, 0),
        (partial(lost, httpx.ConnectTimeout, "APITimeoutError"), TRIES, 0),
        # The server may have read it, and worked.
        (partial(lost, httpx.ReadTimeout, "APITimeoutError"), TRIES, READING),
        (partial(lost, httpx.ReadError), TRIES, READING),
        (partial(ValueError, "no JSON"), TRIES, READING),
    ],
    ids=lambda value: (
        value if isinstance(value, int) else "-".join(getattr(of, "__name__", str(of)) for of in value.args)
    ),
)
def test_what_may_help_is_asked_again_and_what_the_server_may_have_read_is_paid(
    chat: Chat, purse: Purse, slept: list[float], error: Callable[[], Exception], tries: int, costs: int
) -> None:
    def ask(seconds: float) -> Any:
        assert 0 < seconds <= 8
        raise error()

    with pytest.raises(ProviderFailed):
        tried(chat, ask)
    assert purse.reserved == [READING + WRITING] * tries
    assert purse.paid == [costs] * tries
    assert len(slept) == tries - 1


@pytest.mark.parametrize(("letters", "counted"), [(7, 7), (WRITING + 1, WRITING)])
def test_who_has_heard_a_part_is_told_no_other_and_the_part_is_paid(
    chat: Chat, purse: Purse, letters: int, counted: int
) -> None:
    def ask(seconds: float) -> Any:
        raise lost(httpx.ReadError)

    with pytest.raises(ProviderFailed):
        tried(chat, ask, lambda: letters)
    assert purse.paid == [READING + counted]


def test_an_answer_is_given_also_where_what_it_cost_can_not_be_counted(chat: Chat, purse: Purse) -> None:
    purse.away = True
    assert tried(chat, lambda seconds: ("yes", Usage(1, 2))) == "yes"


def test_time_is_left_for_the_one_that_answers_instead(chat: Chat, purse: Purse) -> None:
    for seconds, patience in ((600.0, 8.0), (7.0, 2.0), (5.0, 0.0)):
        assert chat._patience(clock.now() + timedelta(seconds=seconds)) == pytest.approx(patience, abs=0.5)
    assert chat._patience(None) == 8.0
    with pytest.raises(ProviderFailed, match="no time left"):
        chat._tries("model", lambda seconds: ("late", None), "someone", clock.now(), READING, WRITING)
    assert (purse.reserved, openai_chat._RESERVE_SECONDS) == ([], 5.0)


@pytest.mark.parametrize("streams", [True, False])
def test_each_request_is_bounded_in_time_and_tokens(chat: Chat, streams: bool) -> None:
    asked: list[dict[str, Any]] = []
    # The library's own tries, and their pauses, would come on top of each.
    assert chat._client.max_retries == 0

    def create(**words: Any) -> Any:
        asked.append(words)
        raise status(400)

    chat.__dict__["_client"] = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
    more: dict[str, Any] = {"spender": "someone", "deadline": None, "tokens": WRITING}
    with pytest.raises(ProviderFailed):
        if streams:
            chat.streamed("model", [{"content": "?"}], token=lambda *_: None, **more)
        else:
            chat.structured("model", [{"content": "?"}], schema={"name": "x", "schema": {}}, read=str, **more)
    [words] = asked
    assert 7 < words["timeout"] <= 8
    assert words["max_completion_tokens"] == WRITING
    assert words.get("stream_options") == ({"include_usage": True} if streams else None)
