"""Calls between services: what is not there is told apart from who is not there."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import Struct

from runtime.http.host import build
from shared import calls as calls_module
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
