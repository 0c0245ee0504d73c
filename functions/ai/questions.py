"""The embedded question provider: answers made of recycle-info's own lines, and nothing else.

It says what the items' rules say about the things that a question names, asks back when it knows none of them, and declines
what is not about throwing things away. There is no model that could invent a rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.ai.interfaces import Answer, Question, Tell
from functions.ai.retrieval import Neighbours
from shared.messages import Answered, Source

if TYPE_CHECKING:
    from functions.ai.understood import Understood


class EmbeddedQuestions:
    """The provider."""

    provider = "embedded"
    model = "items-2"

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    def answer(self, question: Question, token: Tell) -> Answer:
        """See `interfaces.QuestionProvider`; never raises ProviderFailed."""
        # With the first question: what all words mean is 5 MB.
        from functions.ai.rules import understand

        return say(understand(question, self._neighbours), question, token, self._neighbours)


def say(understood: Understood, question: Question, token: Tell, neighbours: Neighbours) -> Answer:
    """The embedded answer to a question that is understood already."""
    from functions.ai import answers

    pieces = [piece for piece in answers.say(understood, question, neighbours) if piece]
    token(*pieces)
    record = Answered(sources(understood), EmbeddedQuestions.provider, EmbeddedQuestions.model, understood.language)
    return Answer("".join(pieces), record)


def sources(understood: Understood) -> list[Source]:
    """The items that an answer rests on."""
    return [Source(item.id, item.name) for item in understood.items]
