"""Parts of delivery for one test each."""

import asyncio
import os
import struct
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import clock, wake
from tests.runtime import owner as owners


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with owners.event_loop() as running:
        yield running


@pytest.fixture
def owner(
    environment: dict[str, str], loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[owners.Owner]:
    """A running owner; its queue has a name of its own, its tables are recycle-info's."""
    # A relay that this machine holds up for five seconds publishes a second time what it was handed: right for a service, but a
    # test that counts copies would see them. Shorter than `eventually` waits, for who waits until it is due for all.
    monkeypatch.setattr(wake, "HANDED", timedelta(seconds=20))
    made = owners.Owner(
        environment["API_RECYCLE_DB_URL"], environment["BROKER_REDIS_URL"], loop, f"owner-{os.urandom(4).hex()}"
    )
    made.clear()
    made.start()
    yield made
    made.stop()
    made.clear()
    made.close()


@pytest.fixture
def queue() -> str:
    """The name of a queue that no one used before."""
    return f"queue-{os.urandom(4).hex()}"


@pytest.fixture
def later(tmp_path: Path) -> Iterator[Any]:
    """Moves the clock by so many seconds."""
    path = tmp_path / "clock"
    clock.write_offset(str(path), 0.0)
    clock.use_file(str(path))
    moved = 0.0

    def move(seconds: float) -> None:
        nonlocal moved
        moved += seconds
        with path.open("r+b") as file:
            file.write(struct.pack("<d", moved))

    yield move
    clock.use_file(None)
