"""The cache's Redis in a recording: answers that it knew are part of the state that requests met."""

import base64
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = "cache.jsonl"
# What is computed again; a cache larger than this starts empty in a replay.
_LARGEST = 64 * 1024 * 1024


class Entry(Struct):
    """A key with its value as DUMP gives it, both in base64, and its life in milliseconds (0: without an end)."""

    key: str
    value: str
    left: int


def save(url: str, folder: Path) -> None:
    """Write every key of the cache into a recording."""
    import redis

    size = 0
    with redis.Redis.from_url(url, protocol=2) as cache, (folder / FILE).open("wb") as out:
        for key in cache.scan_iter(count=500):
            value, left = cache.dump(key), cache.pttl(key)
            if value is None or left == -2:  # it ended meanwhile
                continue
            line = msgspec.json.encode(Entry(_text(key), _text(value), max(0, left))) + b"\n"
            size += len(line)
            if size > _LARGEST:
                out.truncate(0)
                return
            out.write(line)


def load(folder: Path, url: str) -> None:
    """Put a recording's keys into a cache."""
    import redis

    if not (folder / FILE).exists():
        return
    with redis.Redis.from_url(url, protocol=2) as cache:
        for line in (folder / FILE).read_bytes().splitlines():
            entry = msgspec.json.decode(line, type=Entry)
            cache.restore(base64.b64decode(entry.key), entry.left, base64.b64decode(entry.value), replace=True)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
