"""Who answers: what the process uses behind the two interfaces.

The embedded providers need no network and are the default. With `OPENAI_API_KEY` set, an OpenAI-compatible one is asked
first; where it refuses, fails, takes too long or would cost more than the day's budget, the embedded one answers, and the
answer's `provider` says so.
"""

import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from functions.ai.cache import Cache
from functions.ai.interfaces import PhotoProvider, QuestionProvider
from functions.ai.retrieval import Neighbours
from shared.messages import Classification
from shared.parts import Calls, Made, Settings
from shared.redis import connect
from shared.spend import Limits, Purse

if TYPE_CHECKING:
    from functions.ai.embedded import EmbeddedPhotos

# Dollars per million tokens are millionths of a dollar per token.
_MICROS = 1_000_000


class Providers(Struct, frozen=True):
    """What this process answers with, the first that can. The last of each is embedded and always can."""

    photos: tuple[PhotoProvider, ...]
    questions: tuple[QuestionProvider, ...]
    cache: Cache


class _Photos:
    """The embedded classifier from the first photo on: numpy and Pillow are 11 MB, and many a worker never sees one."""

    provider = "embedded"

    def __init__(self, model_dir: Path) -> None:
        self._model_dir = model_dir
        self._made: EmbeddedPhotos | None = None
        self._making = threading.Lock()

    def _known(self) -> "EmbeddedPhotos":
        with self._making:
            if self._made is None:
                from functions.ai.embedded import EmbeddedPhotos

                self._made = EmbeddedPhotos(self._model_dir)
            return self._made

    @property
    def model(self) -> str:
        return self._known().model

    def classify(self, photo: bytes, spender: str = "", deadline: datetime | None = None) -> Classification:
        return self._known().classify(photo, spender, deadline)


def make(settings: Settings, calls: Calls) -> Providers:
    """The providers that these settings ask for, once a process. Loads no model and opens no connection yet."""
    from functions.ai.questions import EmbeddedQuestions

    neighbours = Neighbours(calls)
    photos: list[PhotoProvider] = [_Photos(Path(settings.model_dir))]
    questions: list[QuestionProvider] = [EmbeddedQuestions(neighbours)]
    if settings.openai_api_key:
        from functions.ai.openai_chat import Chat
        from functions.ai.openai_photos import OpenAIPhotos
        from functions.ai.openai_questions import OpenAIQuestions

        purse = Purse(
            connect(settings.broker_redis_url),
            person=Limits(settings.ai_person_tokens, round(settings.ai_person_dollars * _MICROS)),
            system=Limits(settings.ai_system_tokens, round(settings.ai_system_dollars * _MICROS)),
        )
        chat = Chat(settings, purse)
        photos.insert(0, OpenAIPhotos(chat, settings.openai_photo_model))
        questions.insert(0, OpenAIQuestions(chat, settings.openai_question_model, neighbours))
    return Providers(tuple(photos), tuple(questions), Cache(connect(settings.cache_redis_url)))


# What the two functions name.
Answering = Annotated[Providers, Made(make)]
