"""The dashboard's HTTP API, below `/_emulator/api/`, and its page. For this machine's browser alone.

`GET /_emulator/api/` lists every address with what it does. `guard.py` says whom it answers; `pages/` has a file a page.
"""

import contextlib
import re
from pathlib import Path
from typing import Annotated, Any

from litestar import Response, Router, get
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.params import QueryParameter

from emulator.dashboard.guard import only_from_here, refuse, with_token
from emulator.dashboard.pages import data, functions, logs, mail, recordings, requests, system, tasks, top
from emulator.dashboard.site import Site, site_of
from runtime.http.lean import Application

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Nothing from elsewhere is loaded, and no one may put the page into a frame.
_LOCAL = "http://127.0.0.1:* http://localhost:*"
_POLICY = (
    f"default-src 'self'; img-src 'self' blob: data: {_LOCAL}; connect-src 'self' {_LOCAL}; frame-ancestors 'none';"
    " base-uri 'none'; form-action 'self'"
)


@get("/", summary="What there is")
async def index() -> list[dict[str, str]]:
    return [
        {"method": method, "path": f"/_emulator/api{route.path}", "does": handler.summary or ""}
        for route in Router("/", route_handlers=HANDLERS).routes
        for handler in getattr(route, "route_handlers", ())
        for method in sorted(handler.http_methods)
        if method != "OPTIONS"
    ]


HANDLERS: list[Any] = [
    index,
    *(one for page in (system, functions, requests, tasks, logs, top, data, mail, recordings) for one in page.HANDLERS),
]


@get(["/_emulator", "/_emulator/", "/_emulator/{name:str}"])
async def page(name: Annotated[str, QueryParameter(include_in_schema=False)] = "index.html") -> Response[bytes]:
    path = STATIC / name
    if not re.fullmatch(r"[a-z-]+\.(html|js|css|svg)", name) or not path.is_file():
        raise HTTPException("there is no such page", status_code=404)
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=headers)


def waits_of(state: State) -> tasks.Backlog:
    """The dependency behind a handler's parameter `waits`."""
    waits: tasks.Backlog = state.waits
    return waits


async def build(site: Site, until_the_end: contextlib.AsyncExitStack) -> Application:
    """The application; what it keeps reading is entered into `until_the_end`."""
    waits = tasks.Backlog(site)
    await until_the_end.enter_async_context(waits.reading())
    api = Router("/_emulator/api", route_handlers=HANDLERS, before_request=with_token)
    return Application(
        [api, page],
        dependencies={name: Provide(of, sync_to_thread=False) for name, of in (("site", site_of), ("waits", waits_of))},
        before_request=only_from_here,
        exception_handlers={Exception: refuse},
        openapi_config=None,
        logging_config=None,
        state=State({"site": site, "waits": waits}),
    )
