"""Progress streams: what was missed is sent again, an interrupted run is discarded, the end always comes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest

from emulator.network.proxy import ProxyThread
from shared import progress
from shared.ids import new_id
from shared.progress import Hub, Publisher, follow
from shared.redis import connect, connect_async


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

        client.pipeline = counted  # type: ignore[method-assign]
        fault = proxy.add("broker", "hang")
        for index in range(50):
            publisher.add(subject, run, "token", {"text": "x", "index": index})
        assert len(sent) == 1
        proxy.clear(fault)
        publisher._failed -= progress.AWAY
        publisher.add(subject, run, "token", {"text": "x", "index": 50})
        assert connect(broker_url).xlen(progress.stream(subject)) >= 1
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
    assert await asyncio.wait_for(collecting, 5) == ["progress", "progress", "done"]


async def test_the_row_is_not_read_for_every_event(hub: Hub, publisher: Publisher) -> None:
    subject, run, row = new_id(), new_id(), Row()
    collecting = asyncio.create_task(collect(hub, subject, row))
    await asyncio.sleep(0.2)
    for index in range(200):
        publisher.add(subject, run, "token", {"text": "가", "index": index})
    row.end = ("done", {})
    publisher.add(subject, None, "ended", {})
    names = await asyncio.wait_for(collecting, 10)
    assert names == ["token"] * 200 + ["done"]
    assert row.looks <= 5


async def test_a_client_resumes_after_the_last_event_it_saw(hub: Hub, publisher: Publisher) -> None:
    subject, run, row = new_id(), new_id(), Row()
    for index in range(5):
        publisher.add(subject, run, "token", {"text": str(index), "index": index})
    events = await hub.past(subject, "0")
    row.end = ("done", {})
    assert await collect(hub, subject, row, events[2].id) == ["token", "token", "done"]
    # An id that was never one of ours: from the beginning.
    assert await collect(hub, subject, row, "nonsense") == ["token"] * 5 + ["done"]


async def test_a_new_run_tells_the_client_to_discard(hub: Hub, publisher: Publisher) -> None:
    subject, row = new_id(), Row()
    first, second = new_id(), new_id()
    publisher.add(subject, first, "token", {"text": "half", "index": 0})
    publisher.add(subject, second, "token", {"text": "whole", "index": 0})
    row.end = ("done", {})
    assert await collect(hub, subject, row, restart=True) == ["token", "restart", "token", "done"]


async def test_the_end_comes_although_its_event_was_lost(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOOK_EVERY", 0.1)
    subject, row = new_id(), Row()
    collecting = asyncio.create_task(collect(hub, subject, row))
    await asyncio.sleep(0.2)
    row.end = ("failed", {})
    assert await asyncio.wait_for(collecting, 5) == ["failed"]


async def test_the_end_comes_although_the_broker_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOOK_EVERY", 0.1)
    hub = Hub(lambda: connect_async("redis://127.0.0.1:9/0"))
    row = Row()
    collecting = asyncio.create_task(collect(hub, new_id(), row))
    await asyncio.sleep(0.3)
    row.end = ("done", {})
    assert await asyncio.wait_for(collecting, 5) == ["done"]
    await hub.close()


async def test_a_process_that_stops_lets_its_listeners_go(hub: Hub) -> None:
    collecting = asyncio.create_task(collect(hub, new_id(), Row()))
    await asyncio.sleep(0.1)
    hub.drain()
    assert await asyncio.wait_for(collecting, 5) == []


async def test_a_quiet_stream_has_comments(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(progress, "COMMENT_EVERY", 0.1)
    row = Row()
    stream = follow(hub, new_id(), row.look)
    assert (await asyncio.wait_for(anext(stream), 5)).startswith(b":")
    row.end = ("done", {})
    assert b"event: done" in await asyncio.wait_for(anext(stream), 5)
