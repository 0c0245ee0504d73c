"""What fixtures and tests share: an S3 process, signing keys, access tokens, an application's lifespan, small images,
one transaction that waits for another, what is left in a schema."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock
from uuid import UUID

import httpx
import msgspec
from msgspec import Struct
from psycopg import sql
from redis import Redis

from emulator.servers.redis import RedisServer
from functions.auth import keys as auth_keys
from runtime import redis_users
from runtime.services import Service
from shared import clock, identity
from shared.db import Connection, Database
from shared.idempotency import Idempotency
from tests import web

T = TypeVar("T")


class S3(Struct, frozen=True):
    """A running object store."""

    url: str
    bucket: str
    access_key: str
    secret_key: str


@contextmanager
def s3(folder: Path, port: int = 0) -> Iterator[S3]:
    """Run `python -m emulator.servers.s3.server` on a folder for the time of the block."""
    from emulator.state.folder import State

    port = port or State(folder).port("s3-of-tests")
    server = S3(f"http://127.0.0.1:{port}", "eco2-test", "test-access-key", "test-secret-key")
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "S3_DATA": str(folder / "objects"),
        "S3_BUCKET": server.bucket,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "emulator.servers.s3.server"], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        wait_until_ready(f"{server.url}/_ready", process)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextmanager
def redis(folder: Path, kind: redis_users.Server) -> Iterator[RedisServer]:
    """A broker or a cache; at the end, no service may have been refused what it needs (runtime/redis_users.py)."""
    server = RedisServer(folder, kind).start()
    try:
        yield server
        assert refused(server.url) == [], "a service needs what runtime/redis_users.py does not give it"
    finally:
        server.stop()


def refused(url: str) -> list[str]:
    """What a Redis has refused for want of a right: user, command or key, and where (in a script or not)."""
    with Redis.from_url(url, decode_responses=True) as client:
        entries: list[dict[str, Any]] = client.acl_log()
    return [f"{e['username']}: {e['reason']} {e['object']} ({e['context']})" for e in entries if e["reason"] != "auth"]


def redis_of(service: Service, broker: RedisServer, cache: RedisServer) -> dict[str, str]:
    """The two addresses by which a service comes as its own user, where it uses them."""
    servers = {"broker": broker, "cache": cache}
    return {f"{name.upper()}_REDIS_URL": s.service_url(service) for name, s in servers.items() if name in service.uses}


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for the program that serves this address; raise its last failure when it has ended or takes a minute."""
    deadline = time.monotonic() + 60
    while True:
        try:
            web.get(url).raise_for_status()
            return
        except httpx.HTTPError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class Keys(Struct, frozen=True):
    """Where the signing keys and their public half lie."""

    private: Path
    public: Path


def make_keys(folder: Path) -> Keys:
    auth_keys.init(folder)
    return Keys(folder / auth_keys.SIGNING_FILE, folder / auth_keys.JWKS_FILE)


def access_token(keys: Keys, user_id: UUID, session_id: UUID, *, seconds: float = 900, **claims: Any) -> str:
    """A token as auth issues it."""
    now = int(clock.time())
    body = {
        "iss": identity.ISSUER,
        "aud": identity.AUDIENCE,
        "sub": str(user_id),
        "sid": str(session_id),
        "iat": now,
        "exp": now + int(seconds),
    }
    return auth_keys.signer(str(keys.private)).sign(body | claims)


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Run an ASGI application's start-up and shut-down around the block."""
    receive: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    send: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive.get, send.put))
    await receive.put({"type": "lifespan.startup"})
    message = await send.get()
    if message["type"] == "lifespan.startup.failed":
        await running
        raise RuntimeError(message.get("message"))
    try:
        yield
    finally:
        await receive.put({"type": "lifespan.shutdown"})
        await running


def photo(width: int = 640, height: int = 480, form: str = "JPEG", **options: Any) -> bytes:
    """A picture with edges and gradients, as bytes of that format."""
    from PIL import Image, ImageDraw

    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.ellipse((width // 4, height // 4, width * 3 // 4, height * 3 // 4), fill=(40, 120, 200))
    draw.rectangle((10, 10, width // 3, height // 3), fill=(200, 60, 40))
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """An ASGI application on a port of its own, for who speaks real HTTP to it; the answer is its address."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on", ws="none"))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells no one
        await asyncio.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def answering(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """The address of a server of the test's own; at the end every connection has been served to its end."""
    serving: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        await serve(reader, writer)
        writer.close()
        with suppress(OSError):  # of a connection that was cut, or a handshake that was
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*filter(None, serving))
        await asyncio.sleep(0.05)  # the loop closes what was cut


async def until(holds: Callable[[], Any], what: str = "it") -> None:
    """Wait until something holds that tells no one; an AssertionError when it does not within a minute."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, f"waited a minute in vain: {what}"
        await asyncio.sleep(0.01)


def wait_until(holds: Callable[[], T], what: str = "it") -> T:
    """The same where no loop runs; what is found is returned. Longer, for what looks may be a command."""
    end = time.monotonic() + 90
    while not (found := holds()):
        assert time.monotonic() < end, f"waited 90 seconds in vain: {what}"
        time.sleep(0.05)
    return found


async def held_up(work: Coroutine[Any, Any, T], by: Connection) -> asyncio.Task[T]:
    """Begin `work` and return when the open transaction of `by` keeps it waiting; an AssertionError when nothing does.

    The work goes on when that transaction ends: `await` what is returned behind it.
    """
    running = asyncio.create_task(work)
    for _ in range(4000):
        cursor = await by.execute(
            "SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)) LIMIT 1"
        )
        if cursor.rowcount:
            return running
        assert not running.done(), f"nothing held it up: {running.exception() or running.result()!r}"
        await asyncio.sleep(0.005)
    running.cancel()
    raise AssertionError("it is neither done nor held up by that transaction")


async def one_at_a_time(
    client: httpx.AsyncClient,
    database: Database,
    user_id: UUID,
    token: dict[str, str],
    method: str,
    path: str,
    body: Any,
) -> None:
    """Send a request with an Idempotency-Key twice: while the first one with that key is at work, and when it is done."""
    content = msgspec.json.encode(body)
    headers = token | {"Idempotency-Key": "once", "Content-Type": "application/json"}
    first = Idempotency("once", user_id=user_id, method=method, path=path, body=content)
    async with database.transaction() as conn:
        assert await first.claim(conn) is None
        meanwhile = await client.request(method, path, content=content, headers=headers)
        assert (meanwhile.status_code, meanwhile.json()["type"]) == (409, "urn:eco2:idempotency:under-way")
        await first.keep(conn, {"first": True}, status=201)
    afterwards = await client.request(method, path, content=content, headers=headers)
    assert (afterwards.status_code, afterwards.json()) == (201, {"first": True})


async def done_meanwhile(
    client: httpx.AsyncClient, database: Database, token: dict[str, str], method: str, path: str, body: Any
) -> None:
    """Send a request with an Idempotency-Key whose first copy is done between the second one's look at the key and its claim."""
    claim = Idempotency.claim

    async def late(self: Idempotency, connection: Connection) -> Any:
        async with database.transaction() as first:
            await self.keep(first, {"first": True}, status=201)
        return await claim(self, connection)

    with mock.patch.object(Idempotency, "claim", late):
        answer = await client.request(method, path, json=body, headers=token | {"Idempotency-Key": "meanwhile"})
    assert (answer.status_code, answer.json()) == (201, {"first": True})


async def turn_taken(database: Database) -> None:
    """Return when a transaction holds one of the schema's turns; an AssertionError when none does."""
    for _ in range(4000):
        async with database.connection() as conn:
            if (await conn.execute("SELECT FROM turns FOR NO KEY UPDATE SKIP LOCKED")).rowcount < 256:
                return
        await asyncio.sleep(0.005)
    raise AssertionError("no one takes a turn")


async def left_of(database: Database, marked: str) -> list[str]:
    """The rows of the schema in which a text still is, as text behind their table's name."""
    found: list[str] = []
    async with database.connection() as conn:
        cursor = await conn.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()")
        for (table,) in await cursor.fetchall():
            rows = sql.SQL("SELECT t::text FROM {} t WHERE strpos(t::text, %s) > 0").format(sql.Identifier(table))
            found += [f"{table}: {row}" for (row,) in await (await conn.execute(rows, [marked])).fetchall()]
    return found


def table(test: str, name: str) -> list[list[str]]:
    """The cells of a table beside a test's file, line by line; its first line says what they are."""
    lines = Path(test).with_name(name).read_text(encoding="utf-8").splitlines()[1:]
    return [line.split("\t") for line in lines]
