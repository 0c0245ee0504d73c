"""Exchanges with a server of the OpenAI API, kept without the key and without any photo."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct


class Recorded(Struct, frozen=True):
    """An exchange: the request with hashes in place of images, and what was answered."""

    request: dict[str, Any]
    status: int
    type: str
    body: str


def key_of(slim: dict[str, Any]) -> str:
    return json.dumps(slim, sort_keys=True)


def slim(value: Any) -> Any:
    """The same with a hash in place of each data URL."""
    if isinstance(value, dict):
        return {key: slim(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [slim(inner) for inner in value]
    if isinstance(value, str) and value.startswith("data:"):
        return f"data:sha256,{hashlib.sha256(value.encode()).hexdigest()}"
    return value


def read_recording(path: Path) -> list[Recorded]:
    """The exchanges of a recording.

    Raises:
        ValueError: with one line that says what is wrong with it.
    """
    try:
        return [msgspec.json.decode(line, type=Recorded) for line in path.read_bytes().splitlines() if line]
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"{path}: {error}") from None
