"""Everything that can go wrong for a client, as one small tree. The docstring is the default message.

A service adds its own by subclassing in the function's file, with a stable `type`; `runtime.http.problems` turns any of them
into RFC 9457 `application/problem+json`.
"""

from http import HTTPStatus
from typing import ClassVar

from msgspec import Struct


class FieldError(Struct, frozen=True):
    """What is wrong with one field of a request.

    Attributes:
        field: its name, with dots for a field inside of another.
        message: what is wrong with it.
    """

    field: str
    message: str


class Problem(Exception):
    """Something went wrong."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "urn:eco2:internal"

    def __init__(self, detail: str | None = None, *, headers: dict[str, str] | None = None) -> None:
        self.detail = detail or first_line(type(self))
        self.headers = headers or {}
        self.errors: list[FieldError] = []
        super().__init__(self.detail)

    @classmethod
    def title(cls) -> str:
        return HTTPStatus(cls.status).phrase


def first_line(cls: type) -> str:
    """The first line of a class's docstring."""
    return (cls.__doc__ or cls.__name__).strip().splitlines()[0]


class BadInput(Problem):
    """The request is malformed or a value in it is invalid."""

    status = 400
    type = "urn:eco2:bad-input"

    def __init__(self, field: str | None = None, message: str | None = None, *, errors: list[FieldError] | None = None):
        found = errors if errors is not None else [FieldError(field, message or "invalid")] if field else []
        super().__init__("; ".join(f"{e.field}: {e.message}" for e in found) or message)
        self.errors = found


class Unauthorized(Problem):
    """A valid access token is needed."""

    status = 401
    type = "urn:eco2:unauthorized"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(Problem):
    """You may not do this."""

    status = 403
    type = "urn:eco2:forbidden"


class NotFound(Problem):
    """There is nothing here, or it is not yours."""

    status = 404
    type = "urn:eco2:not-found"


class MethodNotAllowed(Problem):
    """This address does not take that method: `Allow` names those that it takes."""

    status = 405
    type = "urn:eco2:method-not-allowed"


class Conflict(Problem):
    """The request conflicts with what is stored."""

    status = 409
    type = "urn:eco2:conflict"


class PreconditionFailed(Problem):
    """The thing has changed since you read it: read it again and repeat with its new ETag in If-Match."""

    status = 412
    type = "urn:eco2:precondition-failed"


class TooLarge(Problem):
    """The request is too large."""

    status = 413
    type = "urn:eco2:too-large"


class LineTooLong(Problem):
    """The address is too long: it may have 8 KiB."""

    status = 414
    type = "urn:eco2:address-too-long"


class UnsupportedMedia(Problem):
    """Send the body as application/json."""

    status = 415
    type = "urn:eco2:unsupported-media-type"


class TooMany(Problem):
    """Too many requests: try again later."""

    status = 429
    type = "urn:eco2:too-many-requests"

    def __init__(self, detail: str | None = None, *, retry_after: float = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, round(retry_after)))})


class HeadTooLarge(Problem):
    """The request's headers are too large: with the address they may have 32 KiB."""

    status = 431
    type = "urn:eco2:headers-too-large"


class NotImplementedHere(Problem):
    """A body comes as it is, or in chunks: no other Transfer-Encoding is taken."""

    status = 501
    type = "urn:eco2:not-implemented"


class VersionNotSupported(Problem):
    """Ask in HTTP/1.1."""

    status = 505
    type = "urn:eco2:http-version-not-supported"


class Unavailable(Problem):
    """A part that this needs is away: try again in a moment."""

    status = 503
    type = "urn:eco2:unavailable"

    def __init__(self, part: str | None = None, *, retry_after: float = 2) -> None:
        detail = f"The {part} is away: try again in a moment." if part else None
        super().__init__(detail, headers={"Retry-After": str(max(1, round(retry_after)))})
        self.part = part


class Busy(Unavailable):
    """Others hold what this needs, and nothing was changed: repeat the request in a moment."""

    type = "urn:eco2:busy"
    # Whether all of what the request did so far is undone, and it may be done again at once.
    undone = False


class TooSlow(Unavailable):
    """This took longer than it may, and was ended: ask for less, or try again later."""

    type = "urn:eco2:too-slow"
