"""Runs one function as its pod would, in a folder that holds no more than its closure; prints the status of its route.

Started by test_audit.py with `python -S`: no site-packages, only what the test linked. Imports nothing that a host does not.
"""

import asyncio
import json
import os
import sys
import uuid
from typing import Any

TOKEN = os.environ.pop("AUDIT_TOKEN", "")


async def ask(app: Any, method: str, path: str) -> int:
    status = 0
    body = [{"type": "http.request", "body": b"{}", "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        if len(body) > 1:
            return body.pop(0)
        await asyncio.sleep(0.2)
        return body[0]

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]

    headers = [(b"host", b"x"), (b"content-type", b"application/json"), (b"content-length", b"2")]
    headers.append((b"authorization", f"Bearer {TOKEN}".encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "root_path": "",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await asyncio.wait_for(app(scope, receive, send), 60)
    return status


async def http(folder: str, where: str) -> dict[str, int]:
    from runtime.http.host import build

    app, _ = build([folder], os.environ)
    events: asyncio.Queue[Any] = asyncio.Queue()
    started = asyncio.Event()
    failed: list[Any] = []

    async def send(message: Any) -> None:
        if message["type"].endswith("failed"):
            failed.append(message)
        started.set()

    await events.put({"type": "lifespan.startup"})
    life = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, events.get, send))
    await started.wait()
    assert not failed, failed
    found = {"/readyz": await ask(app, "GET", "/readyz")}
    method, _, path = where.partition(" ")
    if path.startswith("/api/"):
        while "{" in path:
            start, end = path.index("{"), path.index("}")
            path = path[:start] + str(uuid.UUID(int=7)) + path[end + 1 :]
        found[path] = await ask(app, method, path)
    await asyncio.sleep(0.7)  # the relay and the queue functions begin after readiness
    started.clear()
    await events.put({"type": "lifespan.shutdown"})
    await asyncio.wait_for(life, 60)
    return found


def worker(folder: str) -> dict[str, int]:
    import importlib

    import runtime.delivery.worker  # noqa: F401 - loaded as a worker loads it
    from runtime.binding import bind_queue
    from runtime.delivery.broker import Broker
    from runtime.loader import load_queue_functions
    from runtime.parts import Parts
    from runtime.services import find
    from shared.settings import read

    importlib.import_module("runtime.journal.syncer")
    service = find(folder)
    parts = Parts(service, read(os.environ, service=folder, uses=service.uses))
    actors = load_queue_functions(service, Broker(os.environ["BROKER_REDIS_URL"], consumer="audit"))
    for actor in actors.values():
        bind_queue(actor, parts)
    return dict.fromkeys(actors, 200)


if __name__ == "__main__":
    folder, kind, where = sys.argv[1:]
    sys.stdout.write(json.dumps(worker(folder) if kind == "worker" else asyncio.run(http(folder, where))))
