"""One conversation step with an OpenAI-compatible server: bounded in time, tries, tokens and money.

What leaves the process is what the callers put into `messages`, and the key in the request's header. No user id, no
metadata, no tool the model could call.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from functions.ai import metrics
from functions.ai.interfaces import ProviderFailed, Tell
from shared import clock
from shared.errors import Unavailable

if TYPE_CHECKING:
    import openai

    from shared.settings import Settings
    from shared.spend import Purse, Reserved

TRIES = 3
# Seconds before the second try, doubled for the third, each plus up to half of itself by chance; a server's Retry-After
# counts instead where it is longer, and ends the tries where it is longer than what is left.
PAUSE = 0.5
# A run must have time left to ask the embedded provider and to send its answer.
_RESERVE_SECONDS = 5.0
# Without a count of the server's own: Korean takes about a token a letter, English a quarter of that.
_TOKENS_PER_LETTER = 1.0

_NOT_REACHED = ("ConnectError", "ConnectTimeout")

T = TypeVar("T")


class Invalid(Exception):
    """The server answered, but not what was asked for; asking again may help."""


class Usage(Struct, frozen=True):
    """Tokens read and written, by the server's count."""

    read: int
    written: int


class _Turned(ProviderFailed):
    """The server turned the request away, or was not reached: nothing of it is on the bill. `again` is whether to ask again."""

    def __init__(self, reason: str, after: float = 0.0, *, again: bool = False) -> None:
        super().__init__(reason)
        self.after = after
        self.again = again


class _Retry(Exception):
    """Nothing of use came from a server that may have worked all the same: what it read is on the bill."""


class Chat:
    """Safe to use from several threads."""

    def __init__(self, settings: Settings, purse: Purse) -> None:
        self._settings = settings
        self._purse = purse

    @cached_property
    def _client(self) -> openai.OpenAI:
        import openai

        # Its own retries know neither our deadline nor our budget.
        return openai.OpenAI(
            api_key=self._settings.openai_api_key, base_url=self._settings.openai_base_url or None, max_retries=0
        )

    def structured(
        self,
        model: str,
        messages: list[Any],
        *,
        schema: dict[str, Any],
        read: Callable[[str], T],
        spender: str,
        deadline: datetime | None,
        tokens: int,
        images: int = 0,
    ) -> T:
        """An answer in JSON of a schema, as `read` understands it.

        Args:
            model: its name.
            messages: the conversation, as the API takes it.
            schema: a JSON schema with a `name` and a `schema`.
            read: decodes the text; raises Invalid.
            spender: who pays.
            deadline: when the task's time limit ends the run.
            tokens: most tokens of the answer.
            images: tokens that the images among the messages may cost at most.

        Raises:
            ProviderFailed: no valid answer within the tries, the deadline and the budget.
        """

        form: Any = {"type": "json_schema", "json_schema": {**schema, "strict": True}}

        def ask(seconds: float) -> tuple[T, Usage | None]:
            answer = self._client.chat.completions.create(
                model=model,
                messages=messages,
                max_completion_tokens=tokens,
                response_format=form,
                timeout=seconds,
            )
            usage = Usage(answer.usage.prompt_tokens, answer.usage.completion_tokens) if answer.usage else None
            return _Answer(usage, lambda: read(_text(answer.choices))).take()

        return self._tries(model, ask, spender, deadline, _letters(messages) + images, tokens)

    def streamed(
        self,
        model: str,
        messages: list[Any],
        *,
        token: Tell,
        spender: str,
        deadline: datetime | None,
        tokens: int,
    ) -> str:
        """The whole text of an answer whose pieces went to `token` as they came.

        Raises:
            ProviderFailed: as above. Once a piece was sent there is no second try: `token` can't take it back.
        """
        pieces: list[str] = []

        def ask(seconds: float) -> tuple[str, Usage | None]:
            end = time.monotonic() + seconds
            usage, reason = None, None
            stream = self._client.chat.completions.create(
                model=model,
                messages=messages,
                max_completion_tokens=tokens,
                stream=True,
                stream_options={"include_usage": True},
                timeout=seconds,
            )
            with stream:
                for chunk in stream:
                    if time.monotonic() > end:
                        raise ProviderFailed("the answer took too long")
                    if chunk.usage:
                        usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                    for choice in chunk.choices:
                        if choice.delta.refusal:
                            raise ProviderFailed("refused")
                        reason = choice.finish_reason or reason
                        if choice.delta.content:
                            pieces.append(choice.delta.content)
                            token(choice.delta.content)
            if reason == "content_filter":
                raise ProviderFailed("refused")
            if reason is None or reason == "length" or not pieces:
                # The connection, or the tokens, ended before the answer did.
                raise ProviderFailed("cut") if pieces else _Retry("empty answer")
            return "".join(pieces), usage

        said = partial(_length, pieces)
        return self._tries(model, ask, spender, deadline, _letters(messages), tokens, said)

    def _tries(
        self,
        model: str,
        ask: Callable[[float], tuple[T, Usage | None]],
        spender: str,
        deadline: datetime | None,
        reading: int,
        writing: int,
        said: Callable[[], int] = lambda: 0,
    ) -> T:
        end = time.monotonic() + self._patience(deadline)
        reason = "no time left"
        for number in itertools.count(1):
            left = end - time.monotonic()
            if left <= 0:
                break
            reserved = self._reserve(spender, reading, writing)
            usage: Usage | None = None
            pause = PAUSE * 2 ** (number - 1) * (1 + random.random() / 2)  # noqa: S311 - spreads tries
            try:
                with _failures():
                    answer, usage = ask(left)
                    usage = usage or Usage(reading, writing)
                    return answer
            except _Paid as paid:
                usage, reason, pause = paid.usage or Usage(reading, writing), str(paid), 0.0
            except _Turned as turned:
                usage, reason, pause = Usage(0, 0), str(turned), max(pause, turned.after)
                if not turned.again:
                    raise
            except _Retry as retry:
                reason = str(retry)
            finally:
                # An answer that was lost, cut or refused on its way is on the bill too, as far as it came.
                self._settle(reserved, model, usage or Usage(reading, min(said(), writing)))
            if said() or number >= TRIES:
                break
            if time.monotonic() + pause >= end:
                break
            clock.sleep(pause)
        raise ProviderFailed(reason)

    def _patience(self, deadline: datetime | None) -> float:
        patience = self._settings.openai_patience
        if deadline is None:
            return patience
        return min(patience, (deadline - clock.now()).total_seconds() - _RESERVE_SECONDS)

    def _micros(self, usage: Usage) -> int:
        read, written = self._settings.openai_price_read, self._settings.openai_price_written
        return round(usage.read * read + usage.written * written)

    def _reserve(self, spender: str, reading: int, writing: int) -> Reserved:
        try:
            reserved = self._purse.reserve(spender, reading + writing, self._micros(Usage(reading, writing)))
        except Unavailable as away:
            raise ProviderFailed("what is spent can't be counted now") from away
        if reserved is None:
            raise ProviderFailed("the day's budget is used up")
        return reserved

    def _settle(self, reserved: Reserved, model: str, spent: Usage) -> None:
        try:
            self._purse.settle(reserved, spent.read + spent.written, self._micros(spent))
        except Unavailable:
            # What was set aside stays counted: too much rather than too little.
            return
        metrics.spent(model, spent.read, spent.written, self._micros(spent))


class _Paid(Exception):
    """An answer came and costs, but is of no use."""

    def __init__(self, reason: str, usage: Usage | None) -> None:
        super().__init__(reason)
        self.usage = usage


class _Answer(Struct, frozen=True):
    usage: Usage | None
    read: Callable[[], Any]

    def take(self) -> tuple[Any, Usage | None]:
        try:
            return self.read(), self.usage
        except Invalid as invalid:
            raise _Paid(str(invalid), self.usage) from None


def _length(pieces: list[str]) -> int:
    return sum(map(len, pieces))


def _text(choices: Any) -> str:
    """The text of a whole answer.

    Raises:
        ProviderFailed: the model refused.
        Invalid: the answer is cut or empty.
    """
    if not choices:
        raise Invalid("no choice in the answer")
    choice = choices[0]
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise ProviderFailed("refused")
    if choice.finish_reason != "stop" or not choice.message.content:
        raise Invalid(f"the answer is cut: {choice.finish_reason}")
    return str(choice.message.content)


def _letters(messages: list[Any]) -> int:
    """Tokens that the texts among messages may take at most, about."""
    return round(sum(len(text) for text in _texts(messages)) * _TOKENS_PER_LETTER) + 4 * len(messages)


def _texts(messages: list[Any]) -> Iterator[str]:
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            yield content
        else:
            yield from (part["text"] for part in content if part["type"] == "text")


class _failures:  # noqa: N801 - used as a statement
    """The library's exceptions as ours: what may be tried again, and what may not."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import openai

        if error is None:
            return
        if isinstance(error, openai.RateLimitError):
            if (error.code or "") == "insufficient_quota":
                raise _Turned("the account's quota is used up") from None
            raise _Turned("429", _after(error), again=True) from None
        if isinstance(error, openai.APIStatusError):
            # The message may repeat what was sent: the status says enough.
            again = error.status_code >= 500 or error.status_code in (408, 409)
            raise _Turned(f"the server answers {error.status_code}", _after(error), again=again) from None
        # By name: which HTTP client the library has inside changes with its version.
        if isinstance(error, openai.APIConnectionError) and type(error.__cause__).__name__ in _NOT_REACHED:
            raise _Turned("not reached", again=True) from None
        if isinstance(error, openai.APITimeoutError):
            raise _Retry("time-out") from None
        if isinstance(error, openai.OpenAIError | ValueError):
            # Cut while streaming, or no JSON where JSON should be.
            raise _Retry(type(error).__name__) from None


def _after(error: openai.APIStatusError) -> float:
    try:
        return max(0.0, float(error.response.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0
