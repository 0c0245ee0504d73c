"""Calls between services: what is not there is told apart from who is not there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import Struct

from runtime.http.host import build
from shared import calls as calls_module
from shared import trace
from shared.calls import Calls, Missing
from shared.errors import Unavailable
from shared.item_ids import item_id
from tests import support


class Anything(Struct):
    """Any JSON object."""


@pytest.fixture
async def service(environment: dict[str, str]) -> AsyncIterator[Calls]:
    edge, _ = build(["recycle_info"], environment, background=False, access_log=False)
    async with support.listening(edge) as address:
        calls = Calls({"api-recycle-info": address})
        yield calls
        await calls.close()


async def test_what_is_not_there_is_missing(service: Calls) -> None:
    with pytest.raises(Missing):
        await service.get("api-recycle-info", f"/api/v1/recycle/items/{item_id('no-such-item')}", Anything)


async def test_who_refuses_or_is_not_there_is_away(service: Calls) -> None:
    away = Calls({"api-recycle-info": "http://127.0.0.1:9"})
    for calls in (service, away):
        with pytest.raises(Unavailable) as caught:
            await calls.get("api-recycle-info", "/api/v1/recycle/items?limit=0", Anything)
        assert not isinstance(caught.value, Missing)
    await away.close()


async def test_no_proxy_of_the_environment_hears_of_people_s_tokens(
    monkeypatch: pytest.MonkeyPatch, free_port: int
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with support.answering(answer) as address:
        calls = Calls({"api-recycle-info": address})
        assert await calls.get("api-recycle-info", "/", Anything) == Anything()
        assert await asyncio.to_thread(calls.get_blocking, "api-recycle-info", "/", Anything) == Anything()
        await calls.close()


async def test_who_does_not_answer_in_time_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "PATIENCE", 0.05)
    over = asyncio.Event()

    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await over.wait()

    async with support.answering(hang) as address:
        calls = Calls({"api-recycle-info": address})
        async with asyncio.timeout(60):
            with pytest.raises(Unavailable):
                await calls.get("api-recycle-info", "/", Anything)
            with pytest.raises(Unavailable):
                await asyncio.to_thread(calls.get_blocking, "api-recycle-info", "/", Anything)
        await calls.close()
        over.set()


async def test_who_finds_all_connections_in_use_is_told_so_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_module, "PATIENCE", 0.05)
    monkeypatch.setattr(calls_module, "POOL", {"max_connections": 1})

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await reader.read()
        writer.close()

    async with support.answering(begin) as address:
        calls = Calls({"far": address})
        async with calls._async_pool.stream("GET", f"{address}/"), asyncio.timeout(60):
            with pytest.raises(Unavailable):
                await calls.get("far", "/", Anything)
        await calls.close()


async def test_an_address_that_no_one_has_named_is_a_fault_of_ours_and_no_outage() -> None:
    calls = Calls({"other": "http://127.0.0.1:9"})
    with pytest.raises(LookupError, match="no address for api-recycle-info: name it in `calls`"):
        await calls.get("api-recycle-info", "/", Anything)
    with pytest.raises(LookupError, match="no address for api-recycle-info"):
        calls.get_blocking("api-recycle-info", "/", Anything)
    await calls.close()


@pytest.mark.parametrize("token", [None, "secret"])
@pytest.mark.parametrize("traceparent", ["", f"00-{'1' * 32}-{'2' * 16}-01"])
@pytest.mark.parametrize("params", [None, {"a": "b c", "n": 1}])
async def test_a_call_says_what_is_asked_for_whom_and_in_which_trace(
    token: str | None, traceparent: str, params: dict[str, Any] | None
) -> None:
    heard: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    outer = trace.set_current(traceparent)
    async with support.answering(answer) as address:
        calls = Calls({"far": address})
        await calls.get("far", "/x", Anything, params, token)
        await asyncio.to_thread(calls.get_blocking, "far", "/x", Anything, params, token)
        await calls.close()
    trace.reset_current(outer)
    for head in heard:
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert first == f"GET /x{'?a=b+c&n=1' if params else ''} HTTP/1.1"
        assert headers.get("authorization") == (f"Bearer {token}" if token else None)
        assert headers.get("traceparent", "") == traceparent
    assert len(heard) == 2


@pytest.mark.parametrize(
    "said",
    [
        "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 x\r\nLocation: /\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 202 x\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 x\r\nContent-Length: 2\r\n\r\n[]",
        "HTTP/1.1 200 x\r\nContent-Length: 1\r\n\r\n{",
        "HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\n{}",
        "220 mail\r\n",
        "",
    ],
    ids=["nothing", "elsewhere", "accepted", "broken", "a list", "half", "cut", "no HTTP", "hung up"],
)
async def test_whatever_is_not_200_of_that_shape_is_away(said: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said.encode())

    async with support.answering(answer) as address:
        calls = Calls({"far": address})
        with pytest.raises(Unavailable) as caught:
            await calls.get("far", "/", Anything)
        assert type(caught.value) is Unavailable
        with pytest.raises(Unavailable):
            await asyncio.to_thread(calls.get_blocking, "far", "/", Anything)
        await calls.close()


async def test_an_address_that_is_none_of_the_web_is_away() -> None:
    calls = Calls({"far": "ftp://127.0.0.1:9"})
    with pytest.raises(Unavailable):
        await calls.get("far", "/", Anything)
    with pytest.raises(Unavailable):
        calls.get_blocking("far", "/", Anything)
    await calls.close()


async def test_whoever_closes_the_calls_leaves_no_connection_behind() -> None:
    ended: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        ended.append(await asyncio.wait_for(reader.read(), 30))

    async with support.answering(answer) as address:
        calls = Calls({"far": address})
        await calls.get("far", "/", Anything)
        await asyncio.to_thread(calls.get_blocking, "far", "/", Anything)
        assert ended == []
        await calls.close()
        await support.until(lambda: len(ended) == 2)
