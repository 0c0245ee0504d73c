"""What each of our replacements of a part of Litestar gains a request: the same application with it switched off.

In one process, without a network: the CPU time of a call of the ASGI application, with and without in turns.
"""

import copy
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Annotated, Any

import msgspec
import uvloop
from litestar import Litestar, get, post
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Meta, Struct

from runtime.http import app as app_module
from runtime.http import binding
from runtime.http.authentication import PLACE
from runtime.http.binding import Provider
from runtime.http.hosted import Hosted
from runtime.services import find
from shared.http import CurrentUser, Db
from shared.ids import new_id
from shared.settings import Settings
from tests.support import Keys, access_token

ROUNDS = 41
REQUESTS = 300


class Order(Struct):
    name: Annotated[str, Meta(min_length=3, max_length=100)]
    count: Annotated[int, Meta(ge=1, le=1000)]
    tags: list[str] = []


@get("/hello")
async def hello(user: CurrentUser, db: Db) -> dict[str, str]:
    return {"hello": "world"}


@post("/orders", status_code=201)
async def orders(data: JSONBody[Order]) -> Order:
    return data


def through_litestar(handler: HTTPRouteHandler, parts: Any, providers: dict[str, Provider]) -> HTTPRouteHandler:
    """What `bind` replaces: Litestar resolves the dependencies, and converts the body."""
    result = copy.copy(handler)
    user = providers["user"]
    given: dict[str, Callable[[], Any]] = {"user": lambda: user(), "db": lambda: parts["db"]}
    result.dependencies = {name: Provide(provider, sync_to_thread=False) for name, provider in given.items()}
    result.responses = {}
    return result


@contextmanager
def switched_off(module: ModuleType, name: str, instead: Any) -> Iterator[None]:
    """The application is built with Litestar's own."""
    ours = getattr(module, name)
    setattr(module, name, instead)
    try:
        yield
    finally:
        setattr(module, name, ours)


SWITCHES: dict[str, tuple[ModuleType, str, Any]] = {
    "answers": (binding, "Answering", get),
    "binding": (app_module, "bind", through_litestar),
}


def rows(keys: Keys) -> list[dict[str, Any]]:
    """One row for each replacement and request."""
    service = msgspec.structs.replace(find("auth"), prefix="/bench")
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:9/none", auth_jwks_file=str(keys.public))

    def build() -> Litestar:
        return Hosted(service, settings, background=False, handlers=[hello, orders]).app

    apps = {"": build()}
    for name, switch in SWITCHES.items():
        with switched_off(*switch):
            apps[name] = build()
    token = f"Bearer {access_token(keys, new_id(), new_id())}".encode()
    order = b'{"name":"bottle","count":3,"tags":["pet","clear"]}'
    found = []
    for what, request in (("GET", _call("GET", "hello", token, b"")), ("POST", _call("POST", "orders", token, order))):
        spent = uvloop.run(_measure(apps, request))
        for name in SWITCHES:
            found.append(
                {
                    "name": f"host: {what} without our {name}",
                    "ours": spent[""],
                    "raw": spent[name],
                    "ratio": spent[""] / spent[name],
                    "budget": "–",
                    "unit": "µs CPU in the application",
                    "note": f"gains {spent[name] - spent['']:.1f} µs",
                }
            )
    return found


Call = Callable[[Litestar], Awaitable[None]]


def _call(method: str, path: str, token: bytes, body: bytes) -> Call:
    headers = [(b"host", b"bench"), (b"authorization", token), (b"content-type", b"application/json")]
    headers.append((b"content-length", str(len(body)).encode()))

    async def send(message: Any) -> None:
        if message.get("status", 200) not in (200, 201):
            raise RuntimeError(f"answered {message['status']}")

    async def call(app: Litestar) -> None:
        messages = iter(({"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}))

        async def receive() -> Any:
            return next(messages)

        path_ = f"/bench/{path}"
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "server": ("bench", 80),
            "client": ("bench", 1),
            "scheme": "http",
            "method": method,
            "root_path": "",
            "path": path_,
            "raw_path": path_.encode(),
            "query_string": b"",
            "headers": list(headers),
            "state": {},
        }
        await app(scope, receive, send)
        scope[PLACE].leave()  # the edge's part, without which no one has a place after some calls

    return call


async def _measure(apps: dict[str, Litestar], call: Call) -> dict[str, float]:
    spent: dict[str, list[float]] = {name: [] for name in apps}
    for _ in range(ROUNDS):
        for name, app in apps.items():
            before = time.process_time()
            for _ in range(REQUESTS):
                await call(app)
            spent[name].append((time.process_time() - before) / REQUESTS * 1e6)
    return {name: statistics.median(found) for name, found in spent.items()}
