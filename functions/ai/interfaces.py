"""What the two functions ask of whoever answers: classify a photo, answer a question."""

from datetime import datetime
from typing import Protocol

from msgspec import Struct

from shared.messages import Answered, Classification, Photo, Place, Turn


class ProviderFailed(Exception):
    """A provider has no answer; another one may. The message is for the log and holds nothing of a person."""


class PhotoProvider(Protocol):
    """Says what a photo shows."""

    @property
    def provider(self) -> str: ...

    @property
    def model(self) -> str: ...

    def classify(self, photo: bytes, spender: str, deadline: datetime | None) -> Classification:
        """What the encoded web-size image shows; `spender` is who pays (may be empty), `deadline` is the task's.

        Raises:
            ProviderFailed: it has no answer.
            Unavailable: nothing can answer now.
        """


class Question(Struct, frozen=True):
    """A question with what came before it. `place` is where the person is, for questions about the nearest center.

    `place_away` says that location could not be asked for it. `deadline` is the task's. `photo` is what an analysis of the
    person's own says, for a question about it.
    """

    text: str
    history: tuple[Turn, ...] = ()
    place: Place | None = None
    spender: str = ""
    place_away: bool = False
    deadline: datetime | None = None
    photo: Photo | None = None


class Answer(Struct, frozen=True):
    """The text, and the record that goes with it."""

    text: str
    record: Answered


class Tell(Protocol):
    """Sends pieces of a text on; what is there together is sent together, for each time costs what ten pieces do."""

    def __call__(self, *pieces: str) -> None: ...


class QuestionProvider(Protocol):
    """Answers a question about waste."""

    provider: str
    model: str

    def answer(self, question: Question, token: Tell) -> Answer:
        """The whole answer; `token` is called with the pieces of its text as they come.

        Raises:
            ProviderFailed: it has no answer.
            Unavailable: nothing can answer now.
        """
