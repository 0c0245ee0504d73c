"""What our host costs: CPU per request beside the same handlers in bare Litestar, on the same server and as a pod serves it.

And what each part of Litestar that we replaced would cost in ours (`_replaced`).
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

import psutil

from shared.ids import new_id
from tests.bench import _replaced
from tests.bench._load import cpu_per_request, free_port, request, server
from tests.support import access_token, make_keys

ROUNDS = 27
REQUESTS = 1000

# The handlers, the same text in both processes.
HANDLERS = """
from typing import Annotated, Any
from litestar import get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

class Order(Struct):
    name: Annotated[str, Meta(min_length=3, max_length=100)]
    count: Annotated[int, Meta(ge=1, le=1000)]
    tags: list[str] = []

@get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "world"}

@post("/orders", status_code=201)
async def orders(data: JSONBody[Order]) -> Order:
    return data
"""

BARE = (
    HANDLERS
    + """
import sys, uvicorn
from litestar import Litestar, Router
app = Litestar([Router("/api/v1/bench", route_handlers=[hello, orders])], openapi_config=None, logging_config=None)
uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False, http="httptools", loop="uvloop", ws="none")
"""
)

# Ours asks for the person too: authentication is on.
OURS = (
    HANDLERS
    + """
import msgspec, os, sys, uvicorn
from runtime import telemetry
from runtime.http.edge import Edge
from runtime.http.hosted import Hosted
from runtime.http.server import Server, configured
from runtime.services import find
from shared.http import CurrentUser
from shared.settings import Settings

@get("/hello")
async def hello_user(user: CurrentUser) -> dict[str, str]:
    return {"hello": "world"}

@post("/orders", status_code=201)
async def orders_user(data: JSONBody[Order], user: CurrentUser) -> Order:
    return data

telemetry.configure("bench", "json", "info")
service = msgspec.structs.replace(find("auth"), prefix="/api/v1/bench")
settings = Settings(database_url="postgresql://nobody@127.0.0.1:9/none", auth_jwks_file=os.environ["AUTH_JWKS_FILE"])
hosted = Hosted(service, settings, background=False, handlers=[hello_user, orders_user])
edge = Edge([hosted], telemetry.AccessLog("bench", "json"))
"""
)
ON_THE_SAME = (
    OURS
    + """
uvicorn.run(edge, port=int(sys.argv[1]), log_config=None, access_log=False, server_header=False, http="httptools",
    loop="uvloop", ws="none")
"""
)
# With our reading of HTTP, which refuses what uvicorn's lets through.
IN_A_POD = OURS + "Server(configured(edge, port=int(sys.argv[1]))).run()"


def run() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        keys = make_keys(Path(folder) / "keys")
        headers = {"Authorization": f"Bearer {access_token(keys, new_id(), new_id())}"}
        ports = [free_port() for _ in range(3)]
        environment = {"AUTH_JWKS_FILE": str(keys.public)}
        with (
            server(BARE, ports[0]) as bare,
            server(ON_THE_SAME, ports[1], environment) as same,
            server(IN_A_POD, ports[2], environment) as pod,
        ):
            rows = _rows([*zip((bare, same, pod), ports, strict=True)], headers)
        return rows + _replaced.rows(keys)


def _rows(servers: list[tuple[psutil.Process, int]], headers: dict[str, str]) -> list[dict[str, Any]]:
    order = b'{"name":"bottle","count":3,"tags":["pet","clear"]}'
    rows: list[dict[str, Any]] = []
    for name, method, path, body in (("GET", "GET", "hello", b""), ("validated POST", "POST", "orders", order)):
        message = request(method, f"/api/v1/bench/{path}", headers, body)
        # The first round warms up.
        rounds = [[cpu_per_request(*one, message, REQUESTS) for one in servers] for _ in range(ROUNDS + 1)][1:]
        for number, (what, budget) in enumerate(((name, "≤ 1.10 ×"), (f"{name}, as a pod serves it", "–")), 1):
            rows.append(
                {
                    "name": f"host: {what}",
                    "ours": statistics.median(one[number] for one in rounds),
                    "raw": statistics.median(one[0] for one in rounds),
                    "ratio": statistics.median(one[number] / one[0] for one in rounds),
                    "budget": budget,
                    "unit": "µs CPU a request",
                }
            )
    return rows
