"""The system's clock, and that it can be moved for every process at once."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared import clock
from shared.ids import first_id, new_id


@pytest.fixture
def clock_file(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "clock")
    clock.write_offset(path, 0.0)
    clock.use_file(path)
    yield path
    clock.use_file(None)


def test_a_moved_clock_moves_now(clock_file: str) -> None:
    before = clock.now()
    clock.write_offset(clock_file, 3600.0)
    assert 3599 < (clock.now() - before).total_seconds() < 3700
    assert clock.now().utcoffset() is not None


def test_a_clock_that_is_moved_is_never_shorter_for_who_has_mapped_it(tmp_path: Path) -> None:
    """Whoever reads behind the end of a mapped file is killed."""
    file = tmp_path / "clock"
    file.write_bytes(bytes(2 * clock.SIZE))
    clock.write_offset(str(file), 1.0)
    assert file.stat().st_size == 2 * clock.SIZE


def test_a_waiter_notices_that_the_clock_was_moved(clock_file: str) -> None:
    done = threading.Event()
    waiter = threading.Thread(target=lambda: (clock.sleep(3600), done.set()))
    waiter.start()
    assert not done.wait(0.05)
    clock.write_offset(clock_file, 3601.0)
    assert done.wait(60)
    waiter.join()


async def test_a_coroutine_notices_too(clock_file: str) -> None:
    sleeper = asyncio.create_task(clock.asleep(3600))
    await asyncio.sleep(0.01)
    clock.write_offset(clock_file, 3601.0)
    await asyncio.wait_for(sleeper, 60)


def test_an_event_ends_the_wait_at_once(clock_file: str) -> None:
    event = threading.Event()
    event.set()
    assert clock.wait(event, 3600)


def test_ids_sort_by_the_systems_time(clock_file: str) -> None:
    first = new_id()
    clock.write_offset(clock_file, 60.0)
    second = new_id()
    assert (first.version, second.version) == (7, 7)
    assert first < second
    assert abs((second.int >> 80) / 1000 - (time.time() + 60)) < 5
    assert len({new_id() for _ in range(1000)}) == 1000


def test_ids_made_from_a_moment_on_begin_with_its_first() -> None:
    before = clock.now()
    made = new_id()
    after = clock.now() + timedelta(milliseconds=1)
    assert first_id(before) <= made < first_id(after)
    assert first_id(before).version == 7
