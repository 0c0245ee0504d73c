"""A person's question about throwing something away, answered from recycle-info's items, streamed as it is written."""

import logging

from msgspec import Struct, structs

from functions.ai import metrics
from functions.ai.cache import question_key
from functions.ai.interfaces import ProviderFailed, Question, Tell
from functions.ai.providers import Answering, Providers
from shared.messages import Answered, AnswerQuestion
from shared.parts import Progress, Task
from shared.tasks import Result, TaskFailed
from shared.triggers import queue

log = logging.getLogger(__name__)

LONGEST = 4000
"""Most characters of an answer."""


class Text(Struct, frozen=True):
    """The payload: the answer's text, for the person alone."""

    text: str


class _Kept(Struct, frozen=True):
    text: str
    record: Answered


@queue(AnswerQuestion)
def answer_question(message: AnswerQuestion, providers: Answering, progress: Progress, task: Task) -> Result:
    """Record: an Answered (sources, provider). Payload: the text.

    Raises:
        TaskFailed: `not-answered`, when every provider failed.
        Unavailable: recycle-info is away.
    """
    asked = Question(
        message.question,
        tuple(message.history),
        message.place,
        message.spender,
        message.place_away,
        task.deadline,
        message.photo,
    )
    key = question_key(*(said for turn in asked.history for said in (turn.role, turn.content)), "user", asked.text)
    model = providers.questions[0].model
    kept = providers.cache.get(f"question:{model}", key, _Kept) if _anyones(asked) else None
    if kept is not None:
        metrics.cached("question", "same")
        progress.publish_tokens([kept.text], 0)
        return Result(record=kept.record, payload=Text(kept.text))
    return _answer(providers, asked, key, progress)


def _anyones(asked: Question) -> bool:
    """Whether the answer is the same for whoever asks: nothing of a person's home or photo goes into it."""
    return asked.place is None and not asked.place_away and asked.photo is None


def _answer(providers: Providers, asked: Question, key: str, progress: Progress) -> Result:
    for provider in providers.questions:
        sent: list[str] = []
        try:
            answer = provider.answer(asked, _sender(progress, sent))
        except ProviderFailed as failure:
            log.warning("question provider %s has no answer: %s", provider.provider, failure)
            metrics.failed("question", provider.provider)
            if sent:
                # The next provider begins anew, and as another run: listeners discard what this one had said.
                return _answer(_after(providers, provider.provider), asked, key, progress.anew())
            continue
        metrics.answered("question", provider.provider)
        text = answer.text[:LONGEST].replace("\x00", "")
        # What the embedded provider says costs two searches and follows the items as they are now: not worth keeping.
        if (
            provider is providers.questions[0]
            and len(providers.questions) > 1
            and _anyones(asked)
            and answer.record.sources
        ):
            providers.cache.put(f"question:{provider.model}", key, _Kept(text, answer.record))
        return Result(record=answer.record, payload=Text(text))
    raise TaskFailed("not-answered", "The question could not be answered: ask again in a little while.")


def _after(providers: Providers, failed: str) -> Providers:
    rest = tuple(provider for provider in providers.questions if provider.provider != failed)
    return structs.replace(providers, questions=rest)


def _sender(progress: Progress, sent: list[str]) -> Tell:
    """Sends tokens on, numbered, up to the longest answer; `sent` collects them."""
    left = LONGEST

    def token(*pieces: str) -> None:
        nonlocal left
        fitting = []
        for text in pieces:
            if len(text) <= left:
                left -= len(text)
                fitting.append(text)
        if fitting:
            progress.publish_tokens(fitting, len(sent))
            sent.extend(fitting)

    return token
