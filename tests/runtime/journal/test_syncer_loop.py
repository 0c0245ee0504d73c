"""A syncer's loop: when it begins a cycle, when it looks after what is old, and what it says of itself"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runtime.journal import syncer as syncers
from runtime.journal.drain import Cycle
from runtime.journal.reader import Backlog
from runtime.journal.syncer import LARGE, RETAIN, Loop
from tests.runtime.owner import eventually


class Waiting:
    """A syncer before which so much waits, and which counts what it is asked."""

    def __init__(self) -> None:
        self.waits = Backlog(0, 0.0, 0)
        self.trouble = ""
        self.looks = self.cycles = self.retained = 0
        self.has_more = False

    def backlog(self) -> Backlog:
        self.looks += 1
        return self.waits

    def cycle(self) -> Cycle:
        self.cycles += 1
        return Cycle()

    def retain(self) -> bool:
        self.retained += 1
        return not self.has_more


@pytest.fixture
def syncer() -> Waiting:
    return Waiting()


def looping(syncer: Waiting, period: float) -> Loop:
    return Loop(syncer, period)  # type: ignore[arg-type]  # all that the loop asks of one


@pytest.fixture
def running(syncer: Waiting, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    monkeypatch.setattr(syncers, "LOOK", 0.01)
    loop = looping(syncer, 3600.0)
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield loop
    loop.told.set()
    thread.join()


def test_a_cycle_begins_early_when_much_waits_and_once_more_at_the_end(syncer: Waiting, running: Loop) -> None:
    syncer.waits = Backlog(LARGE - 1, 0.0, 0)
    eventually(lambda: syncer.looks > 4)
    assert syncer.cycles == 0
    syncer.waits = Backlog(LARGE, 0.0, 0)
    eventually(lambda: syncer.cycles)
    syncer.waits = Backlog(0, 0.0, 0)
    looks = syncer.looks
    eventually(lambda: syncer.looks > looks + 2)
    before = syncer.cycles
    running.told.set()
    eventually(lambda: syncer.cycles == before + 2)


def test_a_cycle_begins_once_a_period(syncer: Waiting, running: Loop, later: Callable[[float], None]) -> None:
    for cycles in (1, 2):
        later(3601.0)
        eventually(lambda cycles=cycles: syncer.cycles == cycles)
        looks = syncer.looks
        eventually(lambda looks=looks: syncer.looks > looks + 4)
        assert syncer.cycles == cycles


def test_what_is_old_is_looked_after_once_an_hour_and_at_once_where_there_is_more(
    syncer: Waiting, later: Callable[[float], None]
) -> None:
    loop = looping(syncer, 300.0)
    for _ in range(3):
        loop._cycle()
    assert syncer.retained == 1
    later(RETAIN + 1)
    syncer.has_more = True
    for _ in range(2):
        loop._cycle()
    assert syncer.retained == 3
    syncer.has_more = False
    for _ in range(3):
        loop._cycle()
    assert syncer.retained == 4
    later(-86_400.0)  # a clock that is set back is not waited for
    loop._cycle()
    assert syncer.retained == 5


@pytest.mark.parametrize(
    ("waits", "trouble", "ready", "reasons"),
    [
        (Backlog(0, 0.0, 0), "", True, []),
        (Backlog(7, 250.0, 0), "", True, []),
        (Backlog(7, 350.0, 0), "", False, ["the oldest unsynced row is 350 s old"]),
        (Backlog(7, 250.0, 2), "", True, ["2 rows are in quarantine"]),
        (Backlog(7, 350.0, 2), "away", False, ["away", "the oldest unsynced row is 350 s old", "2 rows are in"]),
    ],
)
def test_what_waits_too_long_is_said_and_whoever_asks_hears_it(
    syncer: Waiting, waits: Backlog, trouble: str, ready: bool, reasons: list[str]
) -> None:
    loop = looping(syncer, 100.0)
    syncer.waits, syncer.trouble = waits, trouble
    loop._look()
    found: dict[str, Any] = loop.health()
    assert (found["alive"], found["ready"]) == (True, ready)
    assert len(found["reasons"]) == len(reasons)
    assert all(said.startswith(reason) for said, reason in zip(found["reasons"], reasons, strict=True))
    assert (found["backlog"], found["quarantined"], found["cycles"]) == (waits.rows, waits.quarantined, 0)
    assert found["oldest_seconds"] >= waits.oldest
