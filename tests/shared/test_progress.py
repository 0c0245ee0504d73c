"""What a task tells those who wait for it: which words in which stream, how long they stay, and that work goes on without"""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import redis.exceptions
from redis import Redis

from shared import clock, progress
from shared.errors import Unavailable
from shared.ids import new_id
from shared.progress import KEPT, KEPT_AFTER, LENGTH, Progress, Publisher, forget, stream
from shared.redis import connect, connect_async
from shared.tasks import Task


def task() -> Task:
    return Task(new_id(), new_id(), new_id(), 1, clock.now() + timedelta(seconds=60))


@pytest.fixture
def client(broker_url: str) -> Any:
    with connect(broker_url) as made:
        yield made


def told(client: Redis, subject: Any) -> list[tuple[str, str, Any]]:
    """The events of a subject: name, run, and what is said."""
    entries: Any = client.xrange(stream(subject))
    return [(one["name"], one["run"], msgspec.json.decode(one["data"])) for _, one in entries]


async def test_each_event_says_its_name_its_run_and_what_is_so(client: Redis) -> None:
    mine = task()
    said = Progress(Publisher(client), mine)
    said.publish("storing", 1 / 3)
    said.publish_tokens(["우유", "팩"], 7)
    await said.ended()
    run = str(mine.run_id)
    assert told(client, mine.subject) == [
        ("progress", run, {"stage": "storing", "progress": 0.333}),
        ("token", run, {"text": "우유", "index": 7}),
        ("token", run, {"text": "팩", "index": 8}),
        ("ended", "", {}),
    ]


def test_another_attempt_is_another_run_of_the_same_subject(client: Redis) -> None:
    mine = task()
    first = Progress(Publisher(client), mine)
    second = first.anew()
    for said in (first, second, second.anew()):
        said.publish("checking", 0)
    runs = [run for _, run, _ in told(client, mine.subject)]
    assert runs[0] == str(mine.run_id)
    assert len(set(runs)) == 3


def test_a_stream_outlives_its_last_event_by_a_day_and_its_end_by_minutes(client: Redis) -> None:
    subject, publisher = new_id(), Publisher(client)
    for name, seconds in (("progress", KEPT), ("ended", KEPT_AFTER), ("token", KEPT)):
        publisher.add(subject, None, name, {})
        assert seconds - 60 < int(str(client.ttl(stream(subject)))) <= seconds


def test_a_stream_does_not_grow_for_ever(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LENGTH == 2000
    monkeypatch.setattr(progress, "LENGTH", 100)
    subject = new_id()
    for _ in range(5):
        Publisher(client).add(subject, None, "token", *({"index": number} for number in range(100)))
    kept = told(client, subject)
    assert 100 <= len(kept) < 300, "about so many"
    assert kept[-1][2] == {"index": 99}, "the oldest go"


class Failing:
    """A broker that is asked, and fails by what it is told to."""

    def __init__(self, error: Exception) -> None:
        self.error, self.asked, self.closed = error, 0, False

    def pipeline(self, **_: Any) -> Any:
        return self

    def execute(self) -> None:
        self.asked += 1
        raise self.error

    def xadd(self, *_: Any, **__: Any) -> None:
        pass

    expire = xadd

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("error", [redis.exceptions.ConnectionError(), redis.exceptions.ResponseError(), OSError()])
def test_a_broker_that_is_away_costs_the_work_one_try_and_then_none_for_a_while(error: Exception) -> None:
    broker = Failing(error)
    publisher = Publisher(broker)  # type: ignore[arg-type] # of a client what is used
    for _ in range(3):
        Progress(publisher, task()).publish("checking", 0)
    assert broker.asked == 1
    publisher._failed -= progress.AWAY + 1
    Progress(publisher, task()).publish("checking", 0)
    assert broker.asked == 2
    publisher.close()
    assert broker.closed


def test_what_is_wrong_with_us_is_not_taken_for_that() -> None:
    with pytest.raises(ZeroDivisionError):
        Progress(Publisher(Failing(ZeroDivisionError())), task()).publish("checking", 0)  # type: ignore[arg-type] # as above


async def test_what_is_forgotten_is_gone_and_what_was_not_named_stays(client: Redis, broker_url: str) -> None:
    one, other, kept = subjects = [new_id() for _ in range(3)]
    for subject in subjects:
        Publisher(client).add(subject, None, "progress", {})
    async with connect_async(broker_url) as broker:
        await forget(broker, one, other)
    assert [bool(told(client, subject)) for subject in subjects] == [False, False, True]
    async with connect_async("redis://127.0.0.1:1") as nowhere:
        await forget(nowhere)
        with pytest.raises(Unavailable):
            await forget(nowhere, kept)
