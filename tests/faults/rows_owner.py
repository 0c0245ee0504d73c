"""Faults of the owner's side, and everything at once."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from typing import Any

import httpx
import psycopg

from tests import support
from tests.faults import process
from tests.faults.system import System, must
from tests.faults.table import row


@row(20, "the result consumer killed, results shuffled and tripled", "analyses = results")
def killed_owner(system: System) -> dict[str, Any]:
    kills = 100 if system.full else 8
    system.worker(threads=2, prefetch=16, triple=True)
    for _ in range(kills):
        child = system.spawn(process.own, system.owner.name, system.owner_dsn, system.redis.url, str(system.clock_file))
        system.accept(10)
        time.sleep(system.random.uniform(0.05, 0.5))
        system.kill(child)
    system.spawn(process.own, system.owner.name, system.owner_dsn, system.redis.url, str(system.clock_file))
    system.drain()
    return {"kills": kills, **system.check()}


@row(21, "all PostgreSQL backends terminated every 5 s", "recovery <= 2 s; no 500, only 503")
def terminated_backends(system: System) -> dict[str, Any]:
    from runtime.http.host import build
    from runtime.services import find

    service = find("recycle_info")
    environment = {
        service.database.env: system.owner_dsn,
        "BROKER_REDIS_URL": system.redis.url,
        "CACHE_REDIS_URL": system.redis.url,
        "AUTH_JWKS_FILE": str(support.make_keys(system.folder / "keys").public),
        "LOG_FORMAT": "text",
        "LOG_LEVEL": "error",
    }
    rounds = 12 if system.full else 2
    system.owner.start()
    system.worker()

    async def ask() -> tuple[Counter[int], float]:
        edge, _ = build(("recycle_info",), environment, background=True, access_log=False)
        statuses: Counter[int] = Counter()
        slowest = 0.0
        async with support.lifespan(edge):
            transport = httpx.ASGITransport(app=edge, raise_app_exceptions=False)  # type: ignore[arg-type]  # httpx types an ASGI scope as any mapping
            async with httpx.AsyncClient(transport=transport, base_url="http://eco2.test") as client:
                for _ in range(rounds):
                    await asyncio.to_thread(_terminate, system.postgres.dsn("postgres"))
                    end, down = time.monotonic() + (5 if system.full else 3), time.monotonic()
                    recovered = False
                    while time.monotonic() < end:
                        answer = await client.get("/api/v1/recycle/categories")
                        statuses[answer.status_code] += 1
                        if answer.status_code == 200 and not recovered:
                            recovered = True
                            slowest = max(slowest, time.monotonic() - down)
                        await asyncio.sleep(0.01)
                    must(recovered, "it never recovered")
                    await asyncio.to_thread(system.accept, 5)
        return statuses, slowest

    statuses, slowest = asyncio.run(ask())
    must(set(statuses) <= {200, 503}, f"answers {dict(statuses)}")
    must(slowest <= 2, f"recovery took {slowest:.1f} s")
    system.drain()
    system.owner.stop()
    return {"answers": {str(k): v for k, v in statuses.items()}, "recovery": round(slowest, 2), **system.check()}


def _terminate(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ecoeco' AND pid <> pg_backend_pid()"
        )


@row(22, "random mixed faults", "the invariant")
def everything(system: System) -> dict[str, Any]:
    chance = system.random
    counts: Counter[str] = Counter()
    owner_args = (system.owner.name, system.owner_dsn, system.redis.url, str(system.clock_file))
    running = {"owner": system.spawn(process.own, *owner_args)}
    for name in ("w1", "w2"):
        running[name] = system.worker(name, prefetch=8, seconds=0.005)
    syncing = {
        name: system.spawn(
            process.sync_forever, str(system.folder / f"{name}.db"), system.tasks_dsn, str(system.clock_file), 0.2
        )
        for name in ("w1", "w2")
    }
    end = time.monotonic() + (30 if system.full else 6)
    while time.monotonic() < end:
        _accept_or_not(system, chance)
        fault = chance.choice(["worker", "owner", "syncer", "redis", "flush", "terminate", "term", "clock", "none"])
        counts[fault] += 1
        name = chance.choice(["w1", "w2"])
        if fault in ("worker", "term"):
            system.kill(running[name], signal.SIGKILL if fault == "worker" else signal.SIGTERM)
            running[name] = system.worker(name, prefetch=8, seconds=0.005)
        elif fault == "owner":
            system.kill(running["owner"])
            running["owner"] = system.spawn(process.own, *owner_args)
        elif fault == "syncer":
            system.kill(syncing[name])
            syncing[name] = system.spawn(
                process.sync_forever, str(system.folder / f"{name}.db"), system.tasks_dsn, str(system.clock_file), 0.2
            )
        elif fault == "redis":
            system.redis.stop()
            time.sleep(chance.uniform(0, 0.5))
            system.redis.start()
        elif fault == "flush":
            system.owner.broker.client.flushall()
        elif fault == "terminate":
            _terminate(system.postgres.dsn("postgres"))
        elif fault == "clock":
            system.advance(chance.choice([-61, 61, 700]))
        time.sleep(chance.uniform(0, 0.3))
    for child in syncing.values():
        system.kill(child)
    for name in ("w1", "w2", "owner"):
        if not running[name].is_alive():
            running[name] = system.spawn(process.own, *owner_args) if name == "owner" else system.worker(name)
    system.drain(240)
    return {"faults": dict(counts), **system.check()}


def _accept_or_not(system: System, chance: random.Random) -> None:
    # The test's own connection may be the one that is cut: what was not accepted is not owed. Whether a cut COMMIT took
    # place is looked up, as a client with an idempotency key would find out.
    before = {row[0] for row in system.rows("SELECT id FROM recycle_info.outbox")}
    try:
        system.accept(chance.randint(1, 8), chance.choice(["effect", "effect", "fail"]))
    except Exception:  # noqa: BLE001 - whatever it was, the outbox tells
        rows = system.rows("SELECT id FROM recycle_info.outbox")
        system.accepted.update(id_ for (id_,) in rows if id_ not in before)


__all__ = ["os"]
