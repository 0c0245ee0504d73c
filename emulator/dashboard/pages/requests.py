"""The page Requests: the latest requests, the spans of one, and spans as they come."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from emulator.dashboard.site import Site
from emulator.timeline import Timeline, build


@get("/requests", summary="The latest requests, newest first; ?q= is a route, status, service, or any id of a trace")
async def requests(
    site: Site, limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100, q: Annotated[str, QueryParameter()] = ""
) -> list[dict[str, Any]]:
    return site.collector.requests(limit, q)


@get("/traces/{id:str}", summary="The timeline of one request, by its trace's, request's or task's id")
async def trace(site: Site, id: FromPath[str]) -> Timeline:  # noqa: A002 - its name in the address
    return build(site.collector.trace(id))


@get("/stream", summary="Spans as they come, as Server-Sent Events")
async def stream(site: Site) -> Stream:
    async def events() -> AsyncIterator[bytes]:
        queue = site.collector.listen()
        try:
            yield b": here\n\n"
            while True:
                try:
                    span = await asyncio.wait_for(queue.get(), 10)
                    yield b"data: " + msgspec.json.encode(span) + b"\n\n"
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            site.collector.forget(queue)

    return Stream(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


HANDLERS: list[Any] = [requests, trace, stream]
