"""Progress streams: what was missed is sent again, an interrupted run is discarded, the end always comes."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import msgspec
import pytest

from shared import clock, events, progress
from shared.errors import Unavailable
from shared.events import Hub, follow, looking_at
from shared.ids import new_id
from shared.progress import KEPT_AFTER, Progress, Publisher
from shared.redis import connect, connect_async
from shared.tasks import Task
from tests.proxies import ProxyThread
from tests.support import until


@pytest.fixture
async def hub(broker_url: str) -> AsyncIterator[Hub]:
    hub = Hub(lambda: connect_async(broker_url))
    yield hub
    await hub.close()


@pytest.fixture
def publisher(broker_url: str) -> Any:
    client = connect(broker_url)
    yield Publisher(client)
    client.close()


class Row:
    """The owner's row."""

    def __init__(self) -> None:
        self.end: tuple[str, Any] | None = None
        self.looks = 0

    async def look(self) -> tuple[str, Any] | None:
        self.looks += 1
        return self.end


async def collect(hub: Hub, subject: UUID, row: Row, last: str | None = None, restart: bool = False) -> list[str]:
    names = []
    async for chunk in follow(hub, subject, row.look, last, restart=restart):
        names += [line.removeprefix("event: ") for line in chunk.decode().splitlines() if line.startswith("event: ")]
    return names


def test_a_broker_that_hangs_costs_a_run_its_patience_once_and_not_once_a_token(broker_url: str) -> None:
    address = urlsplit(broker_url)
    with ProxyThread() as proxy:
        port = proxy.link("broker", address.port or 0)
        client = connect(urlunsplit(address._replace(netloc=address.netloc.replace(f":{address.port}", f":{port}"))))
        publisher, subject, run = Publisher(client), new_id(), new_id()
        sent: list[Any] = []
        pipeline = client.pipeline

        def counted(**options: Any) -> Any:
            sent.append(options)
            return pipeline(**options)

        client.pipeline = counted  # type: ignore[method-assign]  # counts the calls and passes them on
        fault = proxy.add("broker", "hang")
        for index in range(50):
            publisher.add(subject, run, "token", {"text": "x", "index": index})
        assert len(sent) == 1
        proxy.clear(fault)
        publisher._failed -= progress.AWAY
        publisher.add(subject, run, "token", {"text": "x", "index": 50})
        assert connect(broker_url).xlen(progress.stream(subject)) >= 1
        client.close()


def test_pieces_that_are_there_together_are_events_of_their_own_sent_in_one_exchange(
    publisher: Publisher, broker_url: str
) -> None:
    def expired() -> int:
        return int(client.info("commandstats").get("cmdstat_expire", {"calls": 0})["calls"])

    client, subject = connect(broker_url), new_id()
    before = expired()
    Progress(publisher, Task(new_id(), new_id(), subject, 1, clock.now())).publish_tokens("가나다", 4)
    assert expired() == before + 1
    sent = [msgspec.json.decode(fields["data"]) for _, fields in client.xrange(progress.stream(subject))]
    assert sent == [{"text": text, "index": index} for index, text in enumerate("가나다", 4)]
    client.close()


async def test_what_came_before_and_what_comes_then_the_end(hub: Hub, publisher: Publisher) -> None:
    subject, run, row = new_id(), new_id(), Row()
    publisher.add(subject, run, "progress", {"stage": "checking", "progress": 0.1})
    collecting = asyncio.create_task(collect(hub, subject, row))
    await asyncio.sleep(0.2)
    publisher.add(subject, run, "progress", {"stage": "storing", "progress": 0.5})
    await asyncio.sleep(0.2)
    row.end = ("done", {"id": str(subject)})
    publisher.add(subject, None, "ended", {})
    assert await asyncio.wait_for(collecting, 60) == ["progress", "progress", "done"]


async def test_of_events_that_come_together_each_is_told_once(hub: Hub, publisher: Publisher) -> None:
    subject, run = new_id(), new_id()
    async with hub.listen(subject) as (queue, _), asyncio.timeout(60):
        publisher.add(subject, run, "token", *({"index": number} for number in range(3)))
        told = [await queue.get() for _ in range(3)]
        publisher.add(subject, run, "token", {"index": 3})
        told.append(await queue.get())
    assert [event.data["index"] for event in told] == [0, 1, 2, 3]


async def test_the_row_is_not_read_for_every_event(hub: Hub, publisher: Publisher) -> None:
    subject, run, row = new_id(), new_id(), Row()
    collecting = asyncio.create_task(collect(hub, subject, row))
    await asyncio.sleep(0.2)
    for index in range(200):
        publisher.add(subject, run, "token", {"text": "가", "index": index})
    row.end = ("done", {})
    publisher.add(subject, None, "ended", {})
    names = await asyncio.wait_for(collecting, 60)
    assert names == ["token"] * 200 + ["done"]
    assert row.looks <= 5


async def test_a_client_resumes_after_the_last_event_it_saw(hub: Hub, publisher: Publisher) -> None:
    subject, run, row = new_id(), new_id(), Row()
    for index in range(5):
        publisher.add(subject, run, "token", {"text": str(index), "index": index})
    sent = await hub.past(subject, "0")
    row.end = ("done", {})
    assert await collect(hub, subject, row, sent[2].id) == ["token", "token", "done"]
    # An id that was never one of ours: from the beginning.
    assert await collect(hub, subject, row, "nonsense") == ["token"] * 5 + ["done"]


async def test_an_event_says_its_name_its_data_and_the_id_behind_which_its_client_resumes(
    hub: Hub, publisher: Publisher
) -> None:
    subject, row = new_id(), Row()
    publisher.add(subject, new_id(), "token", {"text": "\n병", "index": 0})
    publisher.add(subject, new_id(), "token", {"text": "", "index": 1})
    ids = [event.id for event in await hub.past(subject, "0")]
    row.end = ("done", {"status": "success"})
    text = b"".join([chunk async for chunk in follow(hub, subject, row.look)]).decode()
    assert text.split("\n\n") == [
        f'id: {ids[0]}\nevent: token\ndata: {{"text":"\\n병","index":0}}',
        f'id: {ids[1]}\nevent: token\ndata: {{"text":"","index":1}}',
        'event: done\ndata: {"status":"success"}',
        "",
    ]


@pytest.mark.parametrize(("second", "told"), [("first", []), ("another", ["restart"])])
async def test_who_resumes_is_told_to_discard_what_another_run_sent_and_nothing_else(
    hub: Hub, publisher: Publisher, second: str, told: list[str]
) -> None:
    subject, row, runs = new_id(), Row(), {"first": new_id(), "another": new_id()}
    for run in ("first", second):
        publisher.add(subject, runs[run], "token", {"text": "x", "index": 0})
    seen = (await hub.past(subject, "0"))[0].id
    row.end = ("done", {})
    assert await collect(hub, subject, row, seen, restart=True) == [*told, "token", "done"]
    # A broker that lost the stream knows of no run: what comes is another one's.
    assert await collect(hub, subject, row, "0-1", restart=True) == ["restart", "token", *told, "token", "done"]


class Ends(msgspec.Struct):
    """A row that ends."""

    status: str
    error: str | None = None
    error_code: str | None = None


async def test_a_row_is_read_until_it_has_ended_or_is_gone_and_a_database_that_is_away_ends_no_stream() -> None:
    found: list[Ends | Unavailable | None] = []

    async def select() -> Ends | None:
        match found.pop():
            case Unavailable() as away:
                raise away
            case row:
                return row

    look = looking_at(Ends("pending"), select)
    for row, said in (
        (Ends("pending"), None),
        (Unavailable("database"), None),
        (Ends("success"), ("done", Ends("success"))),
        (Ends("failure", "why"), ("failed", Ends("failure", "why"))),
        (None, ("failed", Ends("failure", "It was deleted meanwhile.", "deleted"))),
    ):
        found.append(row)
        assert await look() == said
    # What is told of a row that is gone is what was known of it last.
    found += [None, last := Ends("pending")]
    assert await look() is None
    told = await look()
    assert told is not None
    assert told[1] is last


async def test_a_new_run_tells_the_client_to_discard(hub: Hub, publisher: Publisher) -> None:
    subject, row = new_id(), Row()
    first, second = new_id(), new_id()
    publisher.add(subject, first, "token", {"text": "half", "index": 0})
    publisher.add(subject, second, "token", {"text": "whole", "index": 0})
    row.end = ("done", {})
    assert await collect(hub, subject, row, restart=True) == ["token", "restart", "token", "done"]


async def test_the_end_comes_although_its_event_was_lost(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY", 0.1)
    subject, row = new_id(), Row()
    collecting = asyncio.create_task(collect(hub, subject, row))
    await asyncio.sleep(0.2)
    row.end = ("failed", {})
    assert await asyncio.wait_for(collecting, 60) == ["failed"]


async def test_many_who_wait_look_no_oftener_together(
    hub: Hub, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(events, "LOOKS_A_SECOND", 0.001)
    subject, row = new_id(), Row()
    collecting = asyncio.create_task(collect(hub, subject, row))
    await until(lambda: row.looks)
    await asyncio.sleep(0.3)
    assert row.looks == 1
    # What is told is looked at at once, however many wait.
    row.end = ("done", {})
    publisher.add(subject, new_id(), "ended", {})
    assert await asyncio.wait_for(collecting, 60) == ["done"]


async def test_the_end_comes_although_the_broker_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY", 0.1)
    hub = Hub(lambda: connect_async("redis://127.0.0.1:9/0"))
    row = Row()
    collecting = asyncio.create_task(collect(hub, new_id(), row))
    await asyncio.sleep(0.3)
    row.end = ("done", {})
    assert await asyncio.wait_for(collecting, 60) == ["done"]
    await hub.close()


async def test_a_subject_is_forgotten_with_its_last_listener_and_not_before(hub: Hub) -> None:
    subject = new_id()
    async with hub.listen(subject), hub.listen(new_id()):
        async with hub.listen(subject):
            assert hub.listeners == 2
        assert hub.listeners == 2
    assert hub.listeners == 0
    assert hub._reader is not None
    await until(lambda: not hub._reading)
    await until(lambda: hub._reader is None or hub._reader.state != "runs")
    assert (hub._reader.ends, hub._reader.trouble()) == (0, ""), "that no one listens is no fault"
    await hub.close()


async def test_a_process_that_stops_lets_its_listeners_go(hub: Hub) -> None:
    collecting = asyncio.create_task(collect(hub, new_id(), Row()))
    await until(lambda: hub._subjects)
    hub.drain()
    assert await asyncio.wait_for(collecting, 60) == []


async def test_a_quiet_stream_has_comments(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(events, "COMMENT_EVERY", 0.1)
    row = Row()
    stream = follow(hub, new_id(), row.look)
    assert (await asyncio.wait_for(anext(stream), 60)).startswith(b":")
    row.end = ("done", {})
    assert b"event: done" in await asyncio.wait_for(anext(stream), 60)


class Slow:
    """The broker's client, whose first read takes until `go` is set."""

    def __init__(self, broker_url: str) -> None:
        self._client = connect_async(broker_url)
        self.go = asyncio.Event()
        self.asked = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def xread(self, *arguments: Any, **options: Any) -> Any:
        self.asked.set()
        await self.go.wait()
        return await self._client.xread(*arguments, **options)


async def following(hub: Hub, subject: UUID, row: Row, names: list[str]) -> None:
    async for chunk in follow(hub, subject, row.look):
        names += [line.removeprefix("event: ") for line in chunk.decode().splitlines() if line.startswith("event: ")]


async def test_others_hear_everything_when_the_first_listener_leaves_before_the_reading_has_begun(
    broker_url: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY", 600.0)  # no one looks at the row before it is told
    client = Slow(broker_url)
    hub, subject, run, row = Hub(lambda: client), new_id(), new_id(), Row()  # type: ignore[arg-type, return-value]  # Slow has what the hub uses of a client
    first = asyncio.create_task(collect(hub, subject, row))
    await client.asked.wait()
    others: list[list[str]] = [[], []]
    tasks = [asyncio.create_task(following(hub, subject, row, names)) for names in others]
    await asyncio.sleep(0.05)
    first.cancel()
    await asyncio.wait({first})
    client.go.set()
    await asyncio.sleep(0.2)
    for index in range(5):
        publisher.add(subject, run, "token", {"text": "x", "index": index})
    # Live, and not because the row was looked at when it ended.
    await until(lambda: others == [["token"] * 5] * 2)
    late: list[str] = []
    tasks.append(asyncio.create_task(following(hub, subject, row, late)))
    await until(lambda: late == ["token"] * 5)
    row.end = ("done", {})
    publisher.add(subject, None, "ended", {})
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    await hub.close()


async def test_nothing_falls_between_what_was_and_what_comes_for_one_who_comes_while_the_reading_begins(
    broker_url: str, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY", 600.0)  # no one looks at the row before it is told
    client = Slow(broker_url)
    hub, subject, run, row = Hub(lambda: client), new_id(), new_id(), Row()  # type: ignore[arg-type, return-value]  # Slow has what the hub uses of a client
    names: list[list[str]] = [[], []]
    tasks = [asyncio.create_task(following(hub, subject, row, names[0]))]
    await client.asked.wait()
    tasks.append(asyncio.create_task(following(hub, subject, row, names[1])))
    await asyncio.sleep(0.1)
    publisher.add(subject, run, "token", {"text": "x", "index": 0})
    client.go.set()
    await until(lambda: names == [["token"], ["token"]])
    row.end = ("done", {})
    publisher.add(subject, None, "ended", {})
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    await hub.close()


async def test_those_who_come_while_a_read_waits_are_told_and_cost_no_connection_each(
    hub: Hub, publisher: Publisher, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY", 600.0)  # no one looks at the row before it is told
    client = connect(broker_url)
    begun = client.info("stats")["total_connections_received"]
    tasks = []
    for _ in range(20):
        subject, names = new_id(), list[str]()
        await until(lambda: hub._blocked or not tasks)
        tasks.append(asyncio.create_task(following(hub, subject, Row(), names)))
        publisher.add(subject, new_id(), "token", {"text": "x", "index": 0})
        await until(lambda names=names: names == ["token"])
    # What ends a read is the process's own, and goes with it.
    assert 0 < int(str(client.ttl(hub._own))) <= KEPT_AFTER
    # The publisher's, the read's, and that of what else is asked.
    assert client.info("stats")["total_connections_received"] - begun <= 3
    for one in tasks:
        one.cancel()
    await asyncio.wait(tasks)
    client.close()


async def test_the_first_look_is_at_the_row_that_was_just_read() -> None:
    rows = [Ends("pending"), Ends("success")]

    async def select() -> Ends:
        return rows[1]

    assert await looking_at(rows[1], select)() == ("done", rows[1])
    look = looking_at(rows[0], select)
    assert await look() is None
    assert await look() == ("done", rows[1])


async def test_a_listener_that_comes_as_the_last_one_leaves_is_told(
    hub: Hub, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_EVERY", 600.0)  # it does not look by itself
    subject, run, row = new_id(), new_id(), Row()

    async def told(names: list[str], count: int) -> None:
        await until(lambda: len(names) >= count)
        assert len(names) == count

    for published in range(5):
        leaving = asyncio.create_task(collect(hub, subject, row))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.wait({leaving})
        names: list[str] = []
        task = asyncio.create_task(following(hub, new_id(), row, []))
        staying = asyncio.create_task(following(hub, subject, row, names))
        await asyncio.sleep(0.1)
        await told(names, published)  # what was said before
        publisher.add(subject, run, "token", {"text": "x", "index": 0})
        await told(names, published + 1)
        for one in (task, staying):
            one.cancel()
        await asyncio.wait({task, staying})


async def test_what_no_publisher_wrote_ends_no_stream(hub: Hub, publisher: Publisher, broker_url: str) -> None:
    subject, run, row = new_id(), new_id(), Row()
    collecting = asyncio.create_task(collect(hub, subject, row))
    await asyncio.sleep(0.2)
    client = connect(broker_url)
    client.xadd(progress.stream(subject), {"name": "token", "data": "{"})
    client.xadd(progress.stream(subject), {"nonsense": "x"})
    client.close()
    publisher.add(subject, run, "token", {"text": "x", "index": 0})
    await asyncio.sleep(0.2)
    row.end = ("done", {})
    publisher.add(subject, None, "ended", {})
    assert await asyncio.wait_for(collecting, 60) == ["token", "done"]


async def test_what_waits_for_a_client_that_does_not_read_is_bounded_and_read_again(
    hub: Hub, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "QUEUED", 10)
    subject, run, row = new_id(), new_id(), Row()
    publisher.add(subject, run, "token", {"text": "x", "index": 0})
    answer = follow(hub, subject, row.look)
    text = (await anext(answer)).decode()  # and no more is asked for
    for index in range(1, 60):
        publisher.add(subject, run, "token", {"text": "x", "index": index})
    await asyncio.sleep(0.3)
    (queue,) = next(iter(hub._subjects.values())).listeners
    assert queue.qsize() <= 10
    row.end = ("done", {})
    text += "".join([chunk.decode() async for chunk in answer])
    found = [int(number) for number in re.findall(r'"index":(\d+)', text)]
    assert found == list(range(60))
    assert text.count("event: done") == 1


async def test_a_stream_leaves_soon_after_its_end(hub: Hub, publisher: Publisher, broker_url: str) -> None:
    subject, client = new_id(), connect(broker_url)
    publisher.add(subject, new_id(), "token", {"text": "x", "index": 0})
    assert client.ttl(progress.stream(subject)) > progress.KEPT_AFTER
    publisher.add(subject, None, "ended", {})
    assert 0 < client.ttl(progress.stream(subject)) <= progress.KEPT_AFTER
    client.close()


async def test_many_streams_are_read_seldom_and_none_of_their_events_is_lost(hub: Hub, broker_url: str) -> None:
    subjects = [new_id() for _ in range(200)]
    told: list[UUID] = []
    ready, all_told = asyncio.Semaphore(0), asyncio.Event()

    async def listener(subject: UUID) -> None:
        async with hub.listen(subject) as (queue, _):
            ready.release()
            await queue.get()
            told.append(subject)
            if len(told) == 100:
                all_told.set()

    listening = [asyncio.create_task(listener(subject)) for subject in subjects]
    for _ in subjects:
        await ready.acquire()
    loop = asyncio.get_running_loop()
    reads, begun = await _reads(broker_url), loop.time()
    for subject in subjects[::2]:
        await hub.client.xadd(progress.stream(subject), {"name": "progress", "run": "", "data": "{}"})
        await asyncio.sleep(0.005)
    await all_told.wait()
    most = (loop.time() - begun) / (events.GATHER_EACH * 100) + 3
    assert await _reads(broker_url) - reads <= most
    assert set(told) == set(subjects[::2])
    for one in listening:
        one.cancel()
    await asyncio.gather(*listening, return_exceptions=True)


async def _reads(broker_url: str) -> int:
    client = connect_async(broker_url)
    try:
        return int((await client.info("commandstats")).get("cmdstat_xread", {}).get("calls", 0))
    finally:
        await client.aclose()


async def test_a_stream_holds_a_bounded_number_of_events(
    publisher: Publisher, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LENGTH", 100)
    subject, run = new_id(), new_id()
    for index in range(400):
        publisher.add(subject, run, "token", {"text": "x", "index": index})
    with connect(broker_url) as client:
        assert 100 <= client.xlen(progress.stream(subject)) <= 200  # Redis drops a hundred at a time
