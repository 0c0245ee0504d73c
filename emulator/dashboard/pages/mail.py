"""The page Mail: what the system has written to people, as `eco2 mail` prints it."""

import asyncio
from typing import Annotated, Any

from litestar import get
from litestar.params import QueryParameter

from emulator.dashboard.site import Site
from emulator.outside.mailbox import Letter, Mailbox


@get("/mail", summary="The letters, newest first; those to one address with ?to=")
async def mail(
    site: Site,
    to: Annotated[str, QueryParameter()] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100,
) -> list[Letter]:
    found = await asyncio.to_thread(lambda: Mailbox(site.state.path / "mail").letters(to))
    return found[:limit]


HANDLERS: list[Any] = [mail]
