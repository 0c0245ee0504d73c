"""What HTTP functions share: injected parameters, conditional requests, and the errors that OpenAPI shows.

Each alias marks its parameter as a dependency. An unmarked one would silently become a query parameter where its provider
is missing, and a caller could then name any user.
"""

from __future__ import annotations

import hashlib
from functools import reduce
from operator import or_
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter, SkipValidation
from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from shared import parts
from shared.answers import Ready
from shared.errors import BadInput, FieldError, PreconditionFailed, Problem, first_line
from shared.events import Hub
from shared.idempotency import Idempotency
from shared.identity import User
from shared.pages import Page, Paging
from shared.text import pattern

__all__ = ["Page", "User"]

Db = NamedDependency[SkipValidation[parts.Db]]
CurrentUser = NamedDependency[SkipValidation[User]]
MaybeUser = NamedDependency[SkipValidation[User | None]]
Idem = NamedDependency[SkipValidation[Idempotency]]
PageQuery = NamedDependency[SkipValidation[Paging]]
Broker = NamedDependency[SkipValidation[parts.Broker]]
Cache = NamedDependency[SkipValidation[parts.Cache]]
Objects = NamedDependency[SkipValidation[parts.Objects]]
Calls = NamedDependency[SkipValidation[parts.Calls]]
ProgressHub = NamedDependency[SkipValidation[Hub]]
Settings = NamedDependency[SkipValidation[parts.Settings]]


# A list of them in If-Match and If-None-Match, or `*` (RFC 9110 §13.1).
ETAG = r'^(W/)?"[!#-~]*"$'
ETAGS = pattern(
    r'^\s*(\*|(W/)?"[!#-~]*"(\s*,\s*(W/)?"[!#-~]*")*)\s*$', 'must be ETags in their quotes, such as "5f3a", or *'
)


class ProblemDocument(Struct, kw_only=True):
    """What went wrong (RFC 9457).

    Attributes:
        type: a stable name of the kind of error: decide by it.
        title: the status in words.
        status: the answer's status.
        detail: what is wrong here, and what to do: for people.
        instance: the id of the request, which logs and traces name too.
        errors: what is wrong in which field of the request; of bad input alone.
    """

    type: Annotated[str, Meta(pattern="^urn:eco2:[a-z0-9:-]+$")]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    instance: str
    errors: list[FieldError] | UnsetType = UNSET


class Responses(dict[int, ResponseSpec]):
    """Response specifications by status. Litestar copies a handler deeply at registration; these need no copies."""

    def __deepcopy__(self, memo: Any) -> Responses:
        return self


def problems(*kinds: type[Problem]) -> dict[int, ResponseSpec]:
    """The `responses=` of a handler: the problems it may answer, for the OpenAPI document."""
    by_status: dict[int, list[type[Problem]]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    return Responses({status: _spec(status, found) for status, found in by_status.items()})


# Where the thing is that an answer tells of: the `response_headers=` of a handler that sends it.
LOCATION = [
    ResponseHeader(name="Location", documentation_only=True, required=True, description="The address of what was made.")
]
LED_TO = [
    ResponseHeader(
        name="Location", documentation_only=True, required=True, description="The address that the browser opens."
    )
]
EventId = Annotated[str, Meta(pattern=r"^\d+-\d+$", examples=["1795643031352-0"])]
LastEventId = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", description="The id of the last event that was seen: those after it come."),
]


def event_stream(name: str, **data: Any) -> dict[int, ResponseSpec]:
    """The `responses=` of a handler that answers with Server-Sent Events, by the type of each event's data.

    The document has a schema `<name>Event` of one event, of whichever kind.
    """
    text = (
        "Server-Sent Events: `event:` names the kind, `data:` is JSON in one line, `id:` resumes by Last-Event-ID; the schema is"
        " that of one event, its data read. Where no header can be sent, `?ticket=` takes the token's place. A comment line comes"
        " every 15 s. The stream ends with its session."
    )
    kinds: list[Any] = [_event(f"{name}{kind.capitalize()}Event", kind, of) for kind, of in data.items()]
    one: Any = Annotated[reduce(or_, kinds), Meta(title=f"{name}Event", description="One event of the stream.")]
    # Litestar (2.25) knows no union by a name.
    stands_for = defstruct(f"{name}Event", [], namespace={"one_of": one})
    return {200: ResponseSpec(stands_for, generate_examples=False, description=text, media_type="text/event-stream")}


def _event(name: str, kind: str, data: Any) -> type[Struct]:
    text = f"""`event: {kind}`.

    Attributes:
        event: the kind.
        data: what happened.
        id: for Last-Event-ID; an event that was made for this client alone has none.
    """
    fields: list[Any] = [("data", data), ("id", EventId | UnsetType, UNSET)]
    return defstruct(name, fields, tag_field="event", tag=kind, namespace={"__doc__": text})


def _spec(status: int, kinds: list[type[Problem]]) -> ResponseSpec:
    lines = [first_line(kind) for kind in kinds]
    examples = []
    for kind in kinds:
        value = {
            "type": kind.type,
            "title": kind.title(),
            "status": status,
            "detail": first_line(kind),
            "instance": "2c41804d53ca20050f870bd8c61e9ccf",
        }
        if kind is BadInput:
            value |= {"detail": "name: is required", "errors": [{"field": "name", "message": "is required"}]}
        examples.append(Example(summary=kind.type, value=value))
    return ResponseSpec(
        ProblemDocument,
        generate_examples=False,
        description=" ".join(dict.fromkeys(lines)),
        media_type="application/problem+json",
        examples=examples,
    )


class Conditions:
    """The request's `If-None-Match` and `If-Match`. An ETag is a hash of the JSON that the client gets."""

    def __init__(self, if_none_match: str | None, if_match: str | None) -> None:
        self._if_none_match = if_none_match
        self._if_match = if_match

    @property
    def given(self) -> bool:
        """Whether the client sent any."""
        return self._if_match is not None or self._if_none_match is not None

    def answer(self, entity: Any) -> Response[Any]:
        """The thing with its ETag, or 304 where the client has it already."""
        content = msgspec.json.encode(entity)
        tag = _tag(content)
        if _names(self._if_none_match, tag, weak=True):
            return Ready(304, b"", {"ETag": tag})
        return Ready(200, content, {"ETag": tag})

    def changed(self, entity: Any) -> Response[Any]:
        """The thing after a change, with its new ETag."""
        content = msgspec.json.encode(entity)
        return Ready(200, content, {"ETag": _tag(content)})

    def require(self, entity: Any) -> None:
        """Before a change: check that `If-Match` names the thing as it is now, and that `If-None-Match` does not.

        Raises:
            PreconditionFailed: one of the two, where the client sent it, says otherwise (RFC 9110 §13.2.2).
        """
        if not self.given:
            return
        tag = _tag(msgspec.json.encode(entity))
        if self._if_match is not None and not _names(self._if_match, tag, weak=False):
            raise PreconditionFailed
        if _names(self._if_none_match, tag, weak=True):
            raise PreconditionFailed


Conditional = NamedDependency[SkipValidation[Conditions]]


def _tag(content: bytes) -> str:
    return f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'


def _names(header: str | None, tag: str, *, weak: bool) -> bool:
    if header is None:
        return False
    if header.strip() == "*":
        return True
    tags = [part.strip() for part in header.split(",")]
    return tag in tags or (weak and f"W/{tag}" in tags)
