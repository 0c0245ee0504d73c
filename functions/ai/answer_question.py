"""A person's question about throwing something away, answered from recycle-info's items, streamed as it is written."""

import logging
from collections.abc import Callable

import dramatiq
from msgspec import Struct, structs

from functions.ai import metrics
from functions.ai.cache import question_key
from functions.ai.interfaces import ProviderFailed, Question
from functions.ai.providers import Providers, providers
from shared import progress, tasks
from shared.ids import new_id
from shared.messages import Answered, Place, Turn
from shared.tasks import Result, TaskFailed

log = logging.getLogger(__name__)

LONGEST = 4000
"""Most characters of an answer."""


class Text(Struct, frozen=True):
    """The payload: the answer's text, for the person alone."""

    text: str


class _Kept(Struct, frozen=True):
    text: str
    record: Answered


@dramatiq.actor(queue_name="ai", time_limit=180_000)
def answer_question(
    *,
    question: str,
    history: list[Turn] | None = None,
    place: Place | None = None,
    place_away: bool = False,
    spender: str = "",
) -> Result:
    """Record: an Answered (sources, provider). Payload: the text.

    Raises:
        TaskFailed: `not-answered`, when every provider failed.
        Unavailable: recycle-info is away.
    """
    asked = Question(question, tuple(history or ()), place, spender, place_away)
    chosen = providers()
    key = question_key(*(said for turn in asked.history for said in (turn.role, turn.content)), "user", question)
    # With a place, the answer may be the person's own.
    model = chosen.questions[0].model
    kept = chosen.cache.get(f"question:{model}", key, _Kept) if place is None and not place_away else None
    if kept is not None:
        metrics.cached("question", "same")
        progress.publish_token(kept.text, 0)
        return Result(record=kept.record, payload=Text(kept.text))
    return _answer(chosen, asked, key)


def _answer(chosen: Providers, asked: Question, key: str) -> Result:
    for provider in chosen.questions:
        sent: list[str] = []
        try:
            answer = provider.answer(asked, _publisher(sent))
        except ProviderFailed as failure:
            log.warning("question provider %s has no answer: %s", provider.provider, failure)
            metrics.failed("question", provider.provider)
            if sent:
                # The next provider begins anew, and as another run: listeners discard what this one had said.
                with tasks.running(structs.replace(tasks.current(), run_id=new_id())):
                    return _answer(_after(chosen, provider.provider), asked, key)
            continue
        metrics.answered("question", provider.provider)
        text = answer.text[:LONGEST].replace("\x00", "")
        # What the embedded provider says costs two searches and follows the items as they are now: not worth keeping.
        if (
            provider is chosen.questions[0]
            and len(chosen.questions) > 1
            and asked.place is None
            and not asked.place_away
            and answer.record.sources
        ):
            chosen.cache.put(f"question:{provider.model}", key, _Kept(text, answer.record))
        return Result(record=answer.record, payload=Text(text))
    raise TaskFailed("not-answered", "The question could not be answered: ask again in a little while.")


def _after(chosen: Providers, failed: str) -> Providers:
    rest = tuple(provider for provider in chosen.questions if provider.provider != failed)
    return structs.replace(chosen, questions=rest)


def _publisher(sent: list[str]) -> Callable[[str], None]:
    """Sends tokens on, numbered, up to the longest answer; `sent` collects them."""
    left = LONGEST

    def token(text: str) -> None:
        nonlocal left
        if len(text) <= left:
            left -= len(text)
            progress.publish_token(text, len(sent))
            sent.append(text)

    return token
