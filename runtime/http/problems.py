"""The one place that turns what went wrong into an answer: RFC 9457 `application/problem+json`.

Litestar 2.25 answers invalid UTF-8 with 500 and a wrong media type with 400, calls a missing field of the body `data`, and
its own problem-details plugin swaps title and detail; so one handler of ours takes every exception.
"""

import ast
import logging
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec
import psycopg
from litestar import Request, Response
from litestar.exceptions import ClientException, HTTPException, MethodNotAllowedException, ValidationException
from msgspec import UNSET

from runtime import telemetry
from shared import spans, text, trace
from shared.errors import BadInput, FieldError, MethodNotAllowed, NotFound, Problem, TooLarge, UnsupportedMedia
from shared.http import ProblemDocument

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_REGEX = re.compile(r" matching regex ('.*'|\".*\")$")
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_BY_STATUS: dict[int, type[Problem]] = {404: NotFound, 413: TooLarge, 415: UnsupportedMedia}


def answer(problem: Problem, instance: str, cause: Exception | None = None) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a problem; `instance` is the request's id.

    Args:
        cause: the exception that nobody foresaw. The emulator's answers carry its traceback and the trace's id, for the
            developer who made the request; in a pod no one is told (`spans.on`).
    """
    document = ProblemDocument(
        type=problem.type,
        title=problem.title(),
        status=problem.status,
        detail=problem.detail,
        instance=instance,
        errors=problem.errors or UNSET,
    )
    content = msgspec.to_builtins(document)
    if cause is not None and problem.status == 500 and spans.on():
        content |= {"trace_id": trace.current()[3:35], "traceback": telemetry.stack_of(cause).splitlines()}
    return problem.status, problem.headers, msgspec.json.encode(content)


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    status, headers, body = answer(classify(error, request), trace.request_id(), error)
    return Response(body, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def classify(error: Exception, request: Request[Any, Any, Any] | None = None) -> Problem:
    """The problem that an exception is to the client; what no one foresaw is logged with its stack, and 500."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValidationException):
        return BadInput(errors=_field_errors(error), message=None if error.extra else _sentence(error.detail))
    if isinstance(error, MethodNotAllowedException):
        return MethodNotAllowed(headers={"Allow": allow((error.headers or {}).get("allow", "").split(", "))})
    if isinstance(error, RecursionError):
        return BadInput("body", "is nested too deeply")
    if isinstance(error, UnicodeDecodeError | UnicodeEncodeError):
        return BadInput("body", "is not valid UTF-8")
    if isinstance(error, psycopg.DataError):
        # The last net: U+0000 and numbers out of range that no field's own check caught.
        return BadInput("request", "holds a value that can't be stored: check for U+0000 and numbers out of range")
    if isinstance(error, HTTPException) and error.status_code in _BY_STATUS:
        return _BY_STATUS[error.status_code]()
    if isinstance(error, ClientException) and error.status_code == 400:
        return BadInput("body", _PATH.sub("", _sentence(error.detail)))
    if isinstance(error, HTTPException) and error.status_code < 500:
        problem = Problem(error.detail)
        problem.status = error.status_code  # type: ignore[misc]  # this instance alone differs from its class
        problem.type = f"urn:eco2:{HTTPStatus(error.status_code).phrase.lower().replace(' ', '-')}"  # type: ignore[misc]  # as the line above
        return problem
    log.error(
        "unexpected %s in %s",
        type(error).__name__,
        request.scope.get("path_template") if request else "?",
        exc_info=error,
    )
    return Problem("Something went wrong on our side: it has been noted under this request's id.")


def allow(methods: Iterable[str]) -> str:
    """The `Allow` header of an address that takes these methods: HEAD wherever GET is taken (runtime.http.edge)."""
    found = {*methods, "OPTIONS"}
    return ", ".join(sorted(found | {"HEAD"} if "GET" in found else found))


def _sentence(text: str) -> str:
    return text if len(text) <= 300 else text[:300] + "…"


def field_error(message: str, key: str = "") -> FieldError:
    """What a message of msgspec's says, with the field (below `key`) called by the name that the client sent."""
    path = _PATH.search(message)
    message = _PATH.sub("", message)
    key = key or (path[1] if path else "")
    if (missing := _MISSING.search(message)) is not None:
        key = f"{key}.{missing[1]}" if key else missing[1]
        message = "is required"
    elif (regex := _REGEX.search(message)) is not None:
        message = text.said(ast.literal_eval(regex[1])) or message
    return FieldError(key or "body", message)


def _field_errors(error: ValidationException) -> list[FieldError]:
    """Litestar's list of what is wrong."""
    found = []
    for extra in error.extra if isinstance(error.extra, list) else []:
        message = str(extra.get("message", ""))
        # The whole body is missing; what is wrong inside of one, runtime.http.binding says.
        missing = message == "'data'"
        key = str(extra.get("key", ""))
        if extra.get("source") == "header":
            key = key.replace("_", "-").title()  # Litestar (2.25) tells the parameter's name
        found.append(FieldError("body", "is required") if missing else field_error(message, key))
    if not found and (parameter := re.search(r"Missing required (\w+) parameter '([^']+)'", error.detail)) is not None:
        found.append(FieldError(parameter[2], "is required"))
    return found
