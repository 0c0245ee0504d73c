"""The outcomes that chat takes of its tasks."""

from typing import ClassVar

from shared.messages import Outcome


class QuestionAnswered(Outcome, frozen=True):
    """The ai worker's, of an AnswerQuestion: an Answered, and as the payload a Text."""

    actor: ClassVar[str] = "chat_llm/answered"
