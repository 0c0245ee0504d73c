"""What a worker's process says of itself: alive, ready, and why not; of all its queues together"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.delivery.broker import Broker, Delivery
from runtime.delivery.worker import STALLED, STUCK, _health
from runtime.delivery.working import Worker
from runtime.journal.journal import Journal
from tests.runtime.delivery.test_broker import message

Happens = Callable[[Worker, Worker], None]


@pytest.fixture
def two(broker_url: str, queue: str, tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    """A worker, and the one for its bulk work; neither is started."""
    journal, broker = Journal(tmp_path / "worker.db"), Broker(broker_url)
    usual = Worker(queue, broker, journal, {}, threads=1)
    bulk = Worker(queue, broker, journal, {}, threads=1, queue_name=f"{queue}.bulk", first_slot=1)
    yield usual, bulk
    for worker in (usual, bulk):
        worker.limits.close()
    journal.close()
    broker.close()


def broker_away(usual: Worker, bulk: Worker) -> None:
    bulk._waits["fetch"] = "the broker is away"


def disk_full(usual: Worker, bulk: Worker) -> None:
    usual.journal._writer.trouble = "the journal can't be written"


def committing(seconds: float) -> Happens:
    def happens(usual: Worker, bulk: Worker) -> None:
        usual.journal._writer._committing = time.monotonic() - seconds

    return happens


def over_its_limit(seconds: float) -> Happens:
    def happens(usual: Worker, bulk: Worker) -> None:
        bulk.limits._fired[0] = time.monotonic() - seconds

    return happens


@pytest.mark.parametrize(
    ("happens", "alive", "ready", "reasons"),
    [
        (lambda usual, bulk: None, True, True, []),
        (broker_away, True, False, ["the broker is away"]),
        (disk_full, True, False, ["the journal can't be written"]),
        (committing(STALLED - 1), True, True, []),
        (committing(STALLED + 1), True, False, ["a commit of the journal has been under way for 6 s"]),
        (over_its_limit(0.5), True, True, []),
        (over_its_limit(STUCK - 10), True, True, ["a function is 50 s over its time limit"]),
        (over_its_limit(STUCK + 10), False, True, ["a function is 70 s over its time limit"]),
    ],
)
def test_what_is_wrong_is_said_and_decides_only_what_it_should(
    two: tuple[Worker, Worker], happens: Happens, alive: bool, ready: bool, reasons: list[str]
) -> None:
    happens(*two)
    found = _health(list(two))
    assert (found["alive"], found["ready"]) == (alive, ready)
    assert len(found["reasons"]) == len(reasons)
    assert all(said.startswith(reason) for said, reason in zip(found["reasons"], reasons, strict=True))


def test_what_is_held_and_done_is_that_of_all_queues_and_what_was_recovered_is_said(
    two: tuple[Worker, Worker], queue: str
) -> None:
    usual, bulk = two
    for number, worker in enumerate(two, 1):
        worker._held |= {str(one): Delivery(str(one), queue, message(queue)) for one in range(number)}
        worker.finished = 10 * number
    usual.journal.recovered.append("it was damaged")
    found = _health([usual, bulk])
    assert (found["held"], found["finished"], found["recovered"]) == (3, 30, ["it was damaged"])
