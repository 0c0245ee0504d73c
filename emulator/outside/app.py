"""The pages of the outside world: the letters as JSON, and the identity providers."""

import asyncio
from typing import Any

from litestar import Request, delete, get
from litestar.datastructures import State
from litestar.params import FromQuery

from emulator.outside import identity
from emulator.outside.mailbox import Letter, Mailbox
from runtime.http.lean import Application


@get("/mail")
async def letters(request: Request[Any, Any, Any], to: FromQuery[str] = "") -> list[Letter]:
    """The letters, newest first; with `to`, those for one address."""
    box: Mailbox = request.app.state.mailbox
    return await asyncio.to_thread(box.letters, to)


@delete("/mail")
async def clear(request: Request[Any, Any, Any]) -> None:
    await asyncio.to_thread(request.app.state.mailbox.clear)


def build(box: Mailbox, base_url: str, redirects: tuple[str, ...]) -> Application:
    """The application, on the letters in `box`."""
    state = State({"mailbox": box, "identity": identity.Identity(base_url, redirects)})
    return Application([letters, clear, identity.router], state=state, openapi_config=None)
