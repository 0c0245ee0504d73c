"""What HTTP functions share: injected parameters, conditional requests, and the errors that OpenAPI shows.

Each alias marks its parameter as a dependency. An unmarked one would silently become a query parameter where its provider
is missing, and a caller could then name any user.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import SkipValidation
from msgspec import Meta, Struct

from shared import parts
from shared.answers import Ready
from shared.errors import BadInput, FieldError, PreconditionFailed, Problem, first_line
from shared.events import Hub
from shared.idempotency import Idempotency
from shared.identity import User
from shared.pages import Page, Paging

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


class ProblemDocument(Struct, kw_only=True):
    """An RFC 9457 problem: what every error looks like."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] = []


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


class ServerSentEvent(Struct):
    """One event of a stream: `event` names its kind, `data` is JSON, and `id` resumes by Last-Event-ID."""

    event: Annotated[str, Meta(examples=["progress"])]
    data: Annotated[str, Meta(examples=['{"stage":"checking","progress":0.1}'])]
    id: Annotated[str, Meta(examples=["1795643031352-0"])] = ""


def event_stream() -> dict[int, ResponseSpec]:
    """The `responses=` of a handler that answers with Server-Sent Events; the schema is that of one event."""
    text = (
        "Server-Sent Events: `event:` names the kind, `data:` is JSON, `id:` resumes by Last-Event-ID. Where no header can be"
        " sent, `?ticket=` takes the token's place: POST to this address + `/ticket` answers 201 with `ticket` and"
        " `expires_in`; a ticket is good once, for 60 s. The stream ends with its session."
    )
    return {
        200: ResponseSpec(ServerSentEvent, generate_examples=False, description=text, media_type="text/event-stream")
    }


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
