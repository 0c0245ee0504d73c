"""What a worker's process says of itself: alive, ready, and why not; of all its queues together"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.delivery.broker import Broker, Delivery
from runtime.delivery.worker import STALLED, STUCK, _health, _workers
from runtime.delivery.working import Worker
from runtime.health import HealthServer
from runtime.journal.journal import Journal
from runtime.services import find
from tests import web
from tests.runtime.delivery.test_broker import message
from tests.runtime.owner import call

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


@pytest.mark.parametrize(
    ("alive", "ready", "statuses"),
    [(True, True, (200, 200)), (True, False, (200, 503)), (False, True, (503, 503)), (False, False, (503, 503))],
)
def test_who_is_not_alive_is_not_ready_either(alive: bool, ready: bool, statuses: tuple[int, int]) -> None:
    server = HealthServer("127.0.0.1", 0, lambda: {"alive": alive, "ready": ready, "reasons": []})
    address = f"http://127.0.0.1:{server.port}"
    found = tuple(web.get(f"{address}/{path}", timeout=30).status_code for path in ("healthz?x", "readyz", "tasks"))
    server.close()
    assert found == (*statuses, 404)


def test_the_threads_of_a_service_s_two_queues_note_what_they_are_at_each_in_a_place_of_its_own(
    two: tuple[Worker, Worker],
) -> None:
    usual, _ = two
    workers = _workers(find("storage"), usual.broker, usual.journal, {"delete_objects": call(lambda: None)})
    for worker in workers:
        worker.limits.close()
    threads = find("storage").run.threads
    assert [[*worker._slots] for worker in workers] == [[*range(threads)], [threads]]
    assert [worker.queue for worker in workers] == ["storage", "storage.bulk"]
