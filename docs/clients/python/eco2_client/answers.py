"""What an operation answers, or its error as an exception."""

from typing import Any, TypeVar, cast

import httpx
from eco2_client.models import ProblemDocument
from eco2_client.types import Response

T = TypeVar("T")


class ApiError(Exception):
    """An answer that says what went wrong (RFC 9457). Decide by `type`, which never changes.

    Attributes:
        status: of the answer.
        type: such as "urn:eco2:auth:invalid-credentials"; "about:blank" where the answer was not the API's.
        fields: what is wrong in which field of the request.
        request_id: finds the request in logs and traces.
        retry_after: seconds after which the request may succeed; 0 where the answer does not say.
    """

    def __init__(self, status: int, headers: Any, problem: ProblemDocument | None) -> None:
        super().__init__(problem.detail if problem else f"HTTP {status}")
        self.status = status
        self.type = problem.type_ if problem else "about:blank"
        self.fields = {one.field: one.message for one in problem.errors or ()} if problem else {}
        self.request_id = headers.get("X-Request-Id")
        self.retry_after = float(headers.get("Retry-After") or 0)


def value(answer: Response[T | ProblemDocument]) -> T:
    """What `sync_detailed` or `asyncio_detailed` of an operation answers; None where it answers no body.

    Raises:
        ApiError: the answer is an error.
    """
    if answer.status_code >= 400:
        problem = answer.parsed if isinstance(answer.parsed, ProblemDocument) else None
        raise ApiError(answer.status_code, answer.headers, problem)
    return cast(T, answer.parsed)


def refusal(answer: httpx.Response) -> ApiError:
    """The error that an answer tells of, which no operation's module has read."""
    answer.read()
    kind = answer.headers.get("Content-Type", "")
    problem = ProblemDocument.from_dict(answer.json()) if kind.startswith("application/problem+json") else None
    return ApiError(answer.status_code, answer.headers, problem)
