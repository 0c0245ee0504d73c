"""recycle-info and location as real services on a port, for what asks them over HTTP."""

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from runtime.http.host import build
from runtime.services import find
from shared.calls import Calls
from shared.db import Database
from tests import items


@contextmanager
def services(environment: dict[str, str]) -> Iterator[Calls]:
    """Both services with all items loaded, and the way to them."""
    load(environment)
    app, _ = build(("recycle-info", "location"), environment, background=False, access_log=False)
    # Without a set-up of logs, which `runtime.http.lean` left out.
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, log_level="error", lifespan="on")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the services did not start"
        time.sleep(0.02)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    calls = Calls({"api-recycle-info": address, "api-location": address})
    try:
        yield calls
    finally:
        asyncio.run(calls.close())
        server.should_exit = True
        thread.join(10)


def load(environment: dict[str, str]) -> None:
    """All items; what is there already is not written again."""
    asyncio.run(_load(environment))


async def _load(environment: dict[str, str]) -> None:
    database = Database(environment[find("recycle-info").database.env], size=2, name="eval")
    await database.open()
    try:
        await items.put(database)
    finally:
        await database.close()


@contextmanager
def throwaway() -> Iterator[dict[str, str]]:
    """The environment of services on a PostgreSQL and two Redis servers that end with the block."""
    from emulator.servers.postgres import Postgres
    from emulator.servers.redis import RedisServer
    from runtime import migrate
    from runtime.services import load_services
    from tests import support

    with tempfile.TemporaryDirectory(prefix="eco2-eval-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = Postgres(folder, durable=False).start()
        redis: list[Any] = [RedisServer(folder, kind).start() for kind in ("broker", "cache")]
        try:
            migrate.prepare(postgres.superuser_dsn, postgres.state.passwords())
            migrate.apply(postgres.dsn("migrator"))
            keys = support.make_keys(folder / "keys")
            databases = {
                service.database.env: postgres.dsn(service.database.role, search_path=service.database.schema)
                for service in load_services().values()
            }
            yield databases | {
                "BROKER_REDIS_URL": redis[0].url,
                "CACHE_REDIS_URL": redis[1].url,
                "S3_ENDPOINT_URL": "http://127.0.0.1:9",
                "S3_BUCKET": "none",
                "CDN_BASE_URL": "http://cdn.test",
                "AUTH_JWKS_FILE": str(keys.public),
                "SERVICE_URLS": "",
                "LOG_FORMAT": "text",
            }
        finally:
            for server in redis:
                server.stop()
            postgres.destroy()
