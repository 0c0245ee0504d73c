"""An API service's own functions: what waits for its database, and what is put off"""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator

import msgspec
import pytest

from runtime import loader
from runtime.delivery import background
from runtime.delivery.background import HostConsumer
from runtime.delivery.broker import Broker
from runtime.delivery.envelope import envelope, outcome_message, task_message
from runtime.http.hosted import read_settings
from runtime.parts import Parts
from runtime.services import find
from shared import clock, supervision
from shared.db import Database
from shared.errors import Unavailable
from shared.ids import new_id
from shared.messages import Outcome
from shared.tasks import TaskFailed
from shared.triggers import Schedule
from tests.runtime.owner import accepted, call, eventually

Start = Callable[[Callable[..., Awaitable[None]]], HostConsumer]


@pytest.fixture
def host(broker_url: str, queue: str, loop: asyncio.AbstractEventLoop, free_port: int) -> Iterator[Start]:
    """Starts the host of a function, whose database is away, and gives it a task."""
    with contextlib.ExitStack() as until_the_end:

        def start(function: Callable[..., Awaitable[None]]) -> HostConsumer:
            database = Database(f"postgresql://nobody@127.0.0.1:{free_port}/none", size=1)
            asyncio.run_coroutine_threadsafe(database.open(), loop).result(30)
            broker = Broker(broker_url)
            until_the_end.callback(broker.close)
            until_the_end.callback(lambda: asyncio.run_coroutine_threadsafe(database.close(), loop).result(30))
            consumer = HostConsumer(queue, broker, {"try": call(function)}, loop, database)
            consumer.start()
            broker.publish([task_message(f"{queue}-owner", accepted(f"{queue}/try"))])
            return consumer

        yield start


@pytest.mark.parametrize(("part", "runs"), [("database", 3), ("cache", 1)])
def test_without_its_database_a_function_waits_and_without_another_part_it_is_put_off(
    host: Start,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    runs: int,
) -> None:
    monkeypatch.setattr(background, "TRIES", 0)
    seen: list[int] = []

    async def away_twice(*, number: int) -> None:
        seen.append(number)
        if len(seen) < 3:
            raise Unavailable(part)

    consumer = host(away_twice)
    eventually(lambda: consumer.finished == 1)
    assert len(seen) == runs
    consumer.stop(5)


@pytest.mark.parametrize("fails", [False, True])
def test_outcomes_that_are_there_together_are_taken_one_by_one_where_the_function_takes_one(
    broker_url: str,
    queue: str,
    loop: asyncio.AbstractEventLoop,
    environment: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    fails: bool,
) -> None:
    taken: list[str] = []

    async def take(*, outcome: Outcome) -> None:
        taken.append(str(outcome.task_id))
        if fails:  # which a task's function may: an outcome can't become a failure
            raise TaskFailed("no-image", "It is no image.")

    database = Database(environment["API_RECYCLE_DB_URL"], size=1)
    broker = Broker(broker_url)
    asyncio.run_coroutine_threadsafe(database.open(), loop).result(30)
    sent = [envelope(task_message(queue, accepted(f"{queue}/try"))) for _ in range(3)]
    outcomes = [Outcome(one.id, new_id(), one.subject, "success", clock.now()) for one in sent]
    replies = [msgspec.structs.replace(one, reply=f"{queue}/take") for one in sent]
    broker.publish(
        [outcome_message(one, msgspec.to_builtins(outcome)) for one, outcome in zip(replies, outcomes, strict=True)]
    )
    consumer = HostConsumer(queue, broker, {"take": call(take)}, loop, database)
    consumer.start()
    eventually(lambda: consumer.finished == len(sent))
    consumer.stop(5)
    assert sorted(taken) == sorted([str(one.id) for one in sent] * (3 if fails else 1)), "it is tried again"
    said = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == (len(taken) if fails else 0)
    asyncio.run_coroutine_threadsafe(database.close(), loop).result(30)
    broker.close()


def test_a_host_that_stops_gives_back_what_meets_something_away_and_does_not_try_it_again(
    host: Start, queue: str, loop: asyncio.AbstractEventLoop
) -> None:
    runs: list[int] = []
    began, goes_on = threading.Event(), asyncio.Event()

    async def away(*, number: int) -> None:
        runs.append(number)
        began.set()
        await goes_on.wait()
        raise Unavailable("cache")

    consumer = host(away)
    assert began.wait(60)
    consumer._stopping.set()
    loop.call_soon_threadsafe(goes_on.set)
    eventually(lambda: consumer.finished == 1)
    consumer.stop(5)
    assert runs == [1]
    assert consumer.broker.depth(queue) == 1


def test_what_would_hold_up_its_host_s_loop_is_refused_at_the_start(
    environment: dict[str, str], loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sweep() -> None:
        """One that blocks."""

    service = find("location")
    before = supervision.loops()
    monkeypatch.setattr(loader, "load_queue_functions", lambda *_: {})
    monkeypatch.setattr(loader, "load_schedules", lambda *_: {"sweep": (Schedule(60.0), sweep)})
    with pytest.raises(
        loader.LoadError, match=r"location/sweep\.py: it runs on its host's event loop: make it `async def`"
    ):
        background.start_background(service, loop, Parts(service, read_settings(service, environment)))
    assert supervision.loops() == before, "nothing of it has started"
