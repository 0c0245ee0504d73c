"""What crosses from one service to another through the broker. A task is its Struct: it says which function takes it.

Fields are ids, keys and codes; a person's content appears only where the function's work is on that content. A service's
own messages, and the Outcomes it takes, are in its `messages.py`.

Old and new code run side by side while a change is rolled out. A field may be added with a default and, a release later,
an old one may go; a field that changes its name in one step is refused by whoever knows only the other name, and its task
waits (`runtime/forms.py`). A field that must not be missed has no default.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

T = TypeVar("T")


def convert(record: Any, to: type[T]) -> T:
    """An Outcome's record or payload as the Struct that its worker made it from."""
    return msgspec.convert(record, to)


class Message(Struct, frozen=True):
    """A task's input. `actor` is "folder/function" of the function that takes it.

    `*` for the folder is a message that several services take, each in its function of that name. `time_limit`, in
    milliseconds, ends a run, and with an allowance for the queue the relay's wait for an answer. `bulk` work, which no one
    waits for, has a queue and a thread of its own beside the function's others.
    """

    actor: ClassVar[str]
    time_limit: ClassVar[int] = 600_000
    bulk: ClassVar[bool] = False


class TaskError(Struct, frozen=True):
    """Why a task failed: `code` in kebab-case for programs, one sentence for people."""

    code: str
    message: str


class Outcome(Struct, frozen=True):
    """How a task ended, on its way back to the service that owns it.

    `record` holds ids, codes and numbers and is what `tasks` sees; `payload` is a person's content for the owner alone.
    Each service has a class for each of its functions that takes outcomes, and names it as `reply=` of a task.
    """

    actor: ClassVar[str] = ""
    time_limit: ClassVar[int] = 30_000
    task_id: UUID
    run_id: UUID
    subject: UUID
    status: Literal["success", "failure"]
    completed_at: datetime
    record: dict[str, Any] | None = None
    payload: dict[str, Any] | None = None
    error: TaskError | None = None


class ProcessPhoto(Message, frozen=True):
    """Check an upload and store copies without metadata below `prefix`."""

    actor: ClassVar[str] = "storage/process_photo"
    time_limit: ClassVar[int] = 60_000
    image_key: str
    prefix: str


class ProcessedPhoto(Struct, frozen=True):
    """What the storage worker made of an upload: object keys, pixels of the web size, bytes, SHA-256 of its content."""

    web_key: str
    thumbnail_key: str
    width: int
    height: int
    bytes: int
    content_hash: str
    format: str


class DeleteObjects(Message, frozen=True):
    """Delete objects by key, and everything below the prefixes."""

    actor: ClassVar[str] = "storage/delete_objects"
    time_limit: ClassVar[int] = 300_000
    # One person's erasure may be thousands of objects, and everybody's photos wait in the other queue.
    bulk: ClassVar[bool] = True
    keys: list[str] = []
    prefixes: list[str] = []


class FindStrangers(Message, frozen=True):
    """Say which of these objects' keys are not yours."""

    actor: ClassVar[str] = "userinfo/find_strangers"
    time_limit: ClassVar[int] = 60_000
    keys: list[str]


class Strangers(Struct, frozen=True):
    """The record of FindStrangers: the keys that are not userinfo's."""

    keys: list[str]


class ClassifyPhoto(Message, frozen=True):
    """Say what kind of waste a stored photo shows.

    `image_key` names its web size, `thumbnail_key` the small copy, which is enough for the embedded classifier;
    `content_hash` is the web size's.
    """

    actor: ClassVar[str] = "ai/classify_photo"
    time_limit: ClassVar[int] = 120_000
    image_key: str
    content_hash: str
    thumbnail_key: str
    spender: str  # shared.spend.spender(user_id): who pays, without saying who it is


class Candidate(Struct, frozen=True):
    """One possible answer; confidences of all candidates sum to at most 1."""

    waste_type: str
    confidence: float


class Classification(Struct, frozen=True):
    """The classifier's answer, and who gave it."""

    waste_type: str
    confidence: float
    candidates: list[Candidate]
    provider: str
    model: str
    # Codes of a provider that looks closer; empty from the embedded one.
    materials: list[str] = []
    contamination: str = ""
    parts: list[str] = []
    # recycle-info's item that the photo shows, where the provider is sure of the very thing.
    item_id: UUID | None = None
    # Waste types that the photo can't tell apart: the person is asked which it is.
    ask: list[str] = []


class Place(Struct, frozen=True):
    """A point that a question about the nearest center starts from, in degrees.

    `municipality` is the district or city that its address names, such as 마포구: who knows fees and collection days.
    """

    name: str
    latitude: float
    longitude: float
    municipality: str = ""


class Photo(Struct, frozen=True):
    """What an analysis says of the photo that a question is about. `waste_type` is the person's choice where they made one."""

    status: str  # pending, success or failure
    waste_type: str | None = None
    confidence: float | None = None
    chosen: bool = False
    candidates: list[Candidate] = []
    item_id: UUID | None = None
    ask: str = ""  # the question that the photo leaves open, in words
    turns_ago: int = 0  # how many of the person's questions ago it came; a later one may be about something else


class Turn(Struct, frozen=True):
    """One earlier message of a conversation."""

    role: str
    content: str


class AnswerQuestion(Message, frozen=True):
    """Answer a person's question from recycle-info's items; the answer's text is the payload."""

    actor: ClassVar[str] = "ai/answer_question"
    time_limit: ClassVar[int] = 180_000
    question: str
    spender: str  # shared.spend.spender(user_id): who pays, without saying who it is
    history: list[Turn] = []
    place: Place | None = None
    place_away: bool = False  # location could not be asked: no one knows whether there is a place
    photo: Photo | None = None


class Source(Struct, frozen=True):
    """An item that an answer rests on.

    Attributes:
        item_id: recycle-info's id of it.
        name: in Korean.
    """

    item_id: UUID
    name: Annotated[str, Meta(examples=["우유팩"])]


class Answered(Struct, frozen=True):
    """The record of an answer: what it rests on and who gave it. The text itself travels as the payload `{text}`."""

    sources: list[Source]
    provider: str
    model: str
    language: str


class ErasePerson(Message, frozen=True):
    """Erase everything a service holds of a person: the one message that must name a user."""

    actor: ClassVar[str] = "*/erase_person"
    time_limit: ClassVar[int] = 60_000
    user_id: UUID
