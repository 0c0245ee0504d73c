"""Tokens to 200 listening clients of the chat service: the time from a worker's publication to the client's socket.

200 people follow a reply each, over Server-Sent Events, while all 200 replies are written at once, five pieces a second
each: twelve times what the ai worker's two threads get from a model that writes 40 pieces a second. Broker, host (one
process of the real service, on PostgreSQL), publisher and clients share the machine's cores. Beside it: the same pieces from
the same publisher read straight from the broker's streams, as 200 bare Redis clients would.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import redis.asyncio

from shared import clock
from shared.ids import new_id
from shared.progress import stream
from tests.bench._load import free_port, request, server
from tests.bench._system import system
from tests.support import access_token

LISTENERS = 200
PIECES = 100
# Seconds between two pieces of one reply.
EVERY = 0.2

HOST = """
import os, sys
os.environ["PORT"] = sys.argv[1]
from runtime.http.host import run
sys.exit(run(["chat-llm"]))
"""

PUBLISHER = f"""
import sys, time
from uuid import UUID
from shared.ids import new_id
from shared.progress import Publisher
from shared.redis import connect
publisher, run = Publisher(connect(sys.argv[1])), new_id()
subjects = [UUID(line.strip()) for line in sys.stdin]
begun = time.monotonic()
for piece in range({PIECES}):
    for number, subject in enumerate(subjects):
        # Evenly over the time: people's answers do not come in step.
        wait = begun + {EVERY} * (piece + number / len(subjects)) - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        publisher.add(subject, run, "token", {{"text": str(time.monotonic()), "index": piece}})
"""


def run() -> list[dict[str, Any]]:
    with system() as (environment, _, keys):
        user_id, conversation_id = new_id(), new_id()
        broker = environment["BROKER_REDIS_URL"]
        replies = _replies(environment["API_CHAT_DB_URL"], conversation_id, user_id)
        port = free_port()
        token = access_token(keys, user_id, new_id())
        with server(HOST, port, environment) as host:

            async def over_http(reply: UUID) -> list[float]:
                path = f"/api/v1/chat/conversations/{conversation_id}/messages/{reply}/events"
                return await _over_http(port, request("GET", path, {"Authorization": f"Bearer {token}"}))

            before = host.cpu_times()
            ours = asyncio.run(_delays(broker, replies, over_http))
            after = host.cpu_times()
            spent = after.user + after.system - before.user - before.system
            share = spent / (PIECES * EVERY)
        raw = asyncio.run(_delays(broker, [new_id() for _ in replies], lambda reply: _from_broker(broker, reply)))
    # What the host adds to the broker's own way.
    added = [_at(ours, part) - _at(raw, 0.5) for part in (0.5, 0.95, 0.99)]
    note = (
        f"{LISTENERS} listeners, {LISTENERS / EVERY:.0f} pieces a second, {len(ours)} received; median {added[0]:.1f} ms,"
        f" p99 {added[2]:.1f} ms; the host was busy for {share:.0%} of a core"
    )
    return [
        {
            "name": f"a token's added delay, {LISTENERS} listeners, p95",
            "ours": added[1],
            "raw": _at(raw, 0.95),
            "budget": "≤ 50",
            "unit": "ms",
            "note": note,
        }
    ]


def _replies(dsn: str, conversation_id: UUID, user_id: UUID) -> list[UUID]:
    """Pending replies of one conversation."""
    replies = [new_id() for _ in range(LISTENERS)]
    now = clock.now()
    with psycopg.connect(dsn) as conn:
        conn.execute(
            "INSERT INTO conversations (id, user_id, title, created_at, message_count) VALUES (%s, %s, '', %s, %s)",
            [conversation_id, user_id, now, LISTENERS],
        )
        for position, reply in enumerate(replies, 1):
            conn.execute(
                "INSERT INTO messages (id, conversation_id, role, content, status, position, created_at)"
                " VALUES (%s, %s, 'assistant', '', 'pending', %s, %s)",
                [reply, conversation_id, position, now + timedelta(microseconds=position)],
            )
    return replies


async def _delays(
    broker: str, replies: list[UUID], listen: Callable[[UUID], Coroutine[Any, Any, list[float]]]
) -> list[float]:
    """Milliseconds from publication to reception of every piece of all replies, ascending."""
    listening = [asyncio.create_task(listen(reply)) for reply in replies]
    # All are there before the first piece: what is measured is the path of a token, not of a request.
    await asyncio.sleep(3)
    publisher = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PUBLISHER, broker, stdin=subprocess.PIPE, env={"PYTHONPATH": ":".join(sys.path)}
    )
    await publisher.communicate("\n".join(map(str, replies)).encode())
    if publisher.returncode:
        raise RuntimeError("the publisher failed")
    received = await asyncio.wait_for(asyncio.gather(*listening), 30)
    return sorted(delay for delays in received for delay in delays)


async def _over_http(port: int, message: bytes) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    delays: list[float] = []
    while len(delays) < PIECES:
        line = await reader.readline()
        if not line:
            raise RuntimeError("a stream ended early")
        if line.startswith(b'data: {"text"'):
            data = msgspec.json.decode(line.removeprefix(b"data: "))
            delays.append((time.monotonic() - float(data["text"])) * 1000)
    writer.close()
    return delays


async def _from_broker(broker: str, reply: UUID) -> list[float]:
    client = redis.asyncio.Redis.from_url(broker, decode_responses=True)
    delays: list[float] = []
    last = "0"
    while len(delays) < PIECES:
        answer: Any = await client.xread({stream(reply): last}, block=5000)
        for _, entries in answer.items() if isinstance(answer, dict) else answer:
            for id_, fields in entries:
                last = id_
                data = msgspec.json.decode(fields["data"])
                delays.append((time.monotonic() - float(data["text"])) * 1000)
    await client.aclose()
    return delays


def _at(delays: list[float], part: float) -> float:
    return delays[min(len(delays) - 1, int(len(delays) * part))]
