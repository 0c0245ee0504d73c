"""The ai worker's two functions with their parts, as a worker calls them, without the worker around them."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from functions.ai.answer_question import answer_question
from functions.ai.classify_photo import classify_photo
from functions.ai.embedded import EmbeddedPhotos
from functions.ai.providers import Providers, make
from shared import clock
from shared.calls import Calls
from shared.ids import new_id
from shared.messages import AnswerQuestion, ClassifyPhoto
from shared.objects import ObjectStore
from shared.progress import Progress, Publisher
from shared.redis import connect
from shared.settings import read
from shared.tasks import Result, Task


class AtWork:
    """One task after another, all about the same subject, with what the environment's settings ask for at the first.

    Args:
        calls: Leads to the other services; None: they are away.
        loaded: A classifier that has loaded its model, which takes longer than a photo, in place of a new one.
    """

    def __init__(self, calls: Calls | None = None, loaded: EmbeddedPhotos | None = None) -> None:
        self.calls = calls or Calls({})
        self.subject: UUID = new_id()
        self.objects = ObjectStore(read(os.environ, service="ai"))
        self._loaded = loaded
        self._publisher = Publisher(connect(os.environ["BROKER_REDIS_URL"]))

    @cached_property
    def providers(self) -> Providers:
        made = make(read(os.environ, service="ai"), self.calls)
        return made if self._loaded is None else replace(made, photos=(*made.photos[:-1], self._loaded))

    def ask(self, question: str, *, spender: str = "", providers: Providers | None = None, **fields: Any) -> Result:
        task = self._task()
        message = AnswerQuestion(question, spender, **fields)
        return answer_question(message, providers or self.providers, Progress(self._publisher, task), task)

    def classify(self, image_key: str, content_hash: str, *, thumbnail_key: str = "", spender: str = "") -> Result:
        task = self._task()
        message = ClassifyPhoto(image_key, content_hash, thumbnail_key, spender)
        return classify_photo(message, self.providers, self.objects, Progress(self._publisher, task), task)

    def _task(self) -> Task:
        return Task(new_id(), new_id(), self.subject, 1, clock.now() + timedelta(seconds=60))

    def close(self) -> None:
        self.objects.close()
        self._publisher.close()
