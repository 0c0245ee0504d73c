"""Recordings, on the page System: what there is, and the button that begins and ends one."""

import asyncio
from typing import Any

from litestar import delete, get, post
from litestar.params import JSONBody
from msgspec import Struct

from emulator.dashboard.site import Site
from emulator.recording import folder


class Recording(Struct):
    """A recording to begin."""

    name: str


@get("/recordings", summary="Recordings, newest first; one that is open has `ended` = open")
async def recordings(site: Site) -> list[dict[str, Any]]:
    return await asyncio.to_thread(folder.every, site.state)


@post(
    "/recordings",
    status_code=200,
    summary="Begin a recording: every request from now on, with the state of this moment",
)
async def begin(site: Site, data: JSONBody[Recording]) -> dict[str, Any]:
    return await site.ask("record-on", name=folder.check_name(data.name))


@delete("/recordings", status_code=200, summary="End the recording that is open")
async def end(site: Site) -> dict[str, Any]:
    return await site.ask("record-off")


HANDLERS: list[Any] = [recordings, begin, end]
