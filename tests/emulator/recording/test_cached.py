"""The cache's keys go into a recording and come back, with what is left of their lives."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from emulator.recording import cached

FOREVER, PASSING, BINARY = b"mutable forever", b"mutable passing", b"\xff\x00mutable"


@pytest.fixture
def there(cache_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(cache_url) as session:
        session.set(FOREVER, "1")
        session.set(PASSING, "2", px=60_000)
        session.hset(BINARY, "a", b"\xfe")
        yield session
        session.delete(FOREVER, PASSING, BINARY)


def test_every_key_comes_back_as_it_was_for_as_long_as_was_left_of_it(
    there: "redis.Redis", cache_url: str, tmp_path: Path
) -> None:
    cached.save(cache_url, tmp_path)
    there.delete(PASSING, BINARY)
    there.set(FOREVER, "another by now", px=60_000)
    cached.load(tmp_path, cache_url)
    assert (there.get(FOREVER), there.pttl(FOREVER)) == (b"1", -1)
    assert there.get(PASSING) == b"2"
    assert 0 < there.pttl(PASSING) <= 60_000
    assert there.hgetall(BINARY) == {b"a": b"\xfe"}


def test_a_cache_that_is_too_large_is_left_out_whole_and_a_recording_without_one_changes_none(
    there: "redis.Redis", cache_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cached, "_LARGEST", 100)
    cached.save(cache_url, tmp_path)
    assert (tmp_path / cached.FILE).read_bytes() == b""
    (tmp_path / cached.FILE).unlink()
    cached.load(tmp_path, cache_url)
    assert there.get(FOREVER) == b"1"
