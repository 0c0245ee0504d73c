"""Results of tasks as JSON that PostgreSQL takes, their hash, and the ids of the events that tell of them."""

import hashlib
from typing import Any
from uuid import UUID

import msgspec


def hash_result(status: str, record: Any, payload: Any, error: Any) -> str:
    """SHA-256 of a whole result, whatever the order of its keys: what the owner kept can be compared with the history."""
    return hashlib.sha256(msgspec.json.encode([status, record, payload, error], order="deterministic")).hexdigest()


class NotJson(ValueError):
    """The result holds what PostgreSQL's JSONB refuses."""


# JSONB's own limits are higher; these keep a row, its copies and a reader's memory small.
MAX_RESULT_BYTES = 4 << 20
_MAX_DEPTH = 64


def checked_json(value: Any) -> str:
    """`value` as JSON text that JSONB will take.

    Raises:
        NotJson: a U+0000, a lone surrogate, NaN or an infinity, a number beyond a double, over 4 MiB or 64 levels deep.
    """
    builtin = msgspec.to_builtins(value)
    _check(builtin, 0)
    try:
        text = msgspec.json.encode(builtin)
    except (UnicodeEncodeError, OverflowError, TypeError) as error:
        raise NotJson(f"the result can't be written as JSON: {error}") from None
    if len(text) > MAX_RESULT_BYTES:
        raise NotJson(f"the result has {len(text)} bytes, at most {MAX_RESULT_BYTES} are kept")
    return text.decode()


def _check(value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise NotJson(f"the result is more than {_MAX_DEPTH} levels deep")
    if isinstance(value, str):
        if "\x00" in value:
            raise NotJson("a text in the result holds U+0000")
    elif isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise NotJson(f"a number in the result is {value}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check(key, depth + 1)
            _check(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner, depth + 1)


def event_id(of: str, event: str) -> str:
    """The id of a history event, from the run's (or the task's) id alone: PostgreSQL's `md5(of || ':' || event)::uuid`."""
    return str(UUID(bytes=hashlib.md5(f"{of}:{event}".encode(), usedforsecurity=False).digest()))


def split_error(text: str | None) -> dict[str, str] | None:
    """The error column, `code: message`, as the two parts that travel."""
    if text is None:
        return None
    code, _, message = text.partition(": ")
    return {"code": code, "message": message or code}
