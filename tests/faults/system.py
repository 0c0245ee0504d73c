"""The system under faults: real PostgreSQL, Redis and SQLite, processes that can be killed, a clock and a proxy.

Tasks are accepted by an owner (recycle-info's schema, with a table `fault_rows` beside its outbox that plays the part of
`analyses`), worked on by processes of `tests.faults.process`, and drained by a syncer. `Drained.check` is the invariant.
"""

import asyncio
import os
import random
import signal
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import psycopg
from msgspec import Struct

from emulator.servers.postgres import Postgres
from emulator.servers.redis import RedisServer
from runtime import migrate
from runtime.delivery.background import HostConsumer
from runtime.delivery.broker import Broker
from runtime.delivery.relay import Relay
from runtime.journal.drain import Syncer
from shared import clock
from shared.messages import Outcome
from tests.faults import process
from tests.proxies import ProxyThread
from tests.runtime.owner import Owner, call, event_loop

_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.faults.process"])

_TABLES = """
CREATE TABLE IF NOT EXISTS recycle_info.fault_rows (
    id UUID PRIMARY KEY, status TEXT NOT NULL DEFAULT 'pending', run_id UUID, result_hash TEXT,
    applied INTEGER NOT NULL DEFAULT 0);
GRANT ALL ON recycle_info.fault_rows TO api_recycle_role;
CREATE TABLE IF NOT EXISTS tasks.fell (task_id TEXT, was TEXT, became TEXT);
GRANT ALL ON tasks.fell TO worker_role;
CREATE OR REPLACE FUNCTION tasks.note_fall() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF array_position(ARRAY['pending', 'failure', 'success'], NEW.status::text)
        < array_position(ARRAY['pending', 'failure', 'success'], OLD.status::text) THEN
        INSERT INTO tasks.fell VALUES (OLD.task_id, OLD.status, NEW.status);
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER note_fall BEFORE UPDATE ON tasks.task_results FOR EACH ROW EXECUTE FUNCTION tasks.note_fall();
"""


class Broken(AssertionError):
    """The invariant, or a row's own condition, does not hold."""


def must(holds: Any, said: str) -> None:
    """Raise Broken unless it holds."""
    if not holds:
        raise Broken(said)


class FaultOwner(Owner):
    """Keeps each outcome in `fault_rows`, in the transaction that settles it."""

    async def _worked(self, *, outcome: Outcome) -> None:
        await process.keep_outcome(outcome, self.database)


class System:
    """Everything of one row of the table, in a folder of its own; the PostgreSQL cluster is shared by the rows."""

    def __init__(
        self, folder: Path, postgres: Postgres, loop: asyncio.AbstractEventLoop, seed: int, full: bool
    ) -> None:
        self.folder = folder
        self.postgres = postgres
        self.random = random.Random(seed)
        self.seed = seed
        self.full = full
        folder.mkdir(parents=True)
        self.clock_file = folder / "clock"
        clock.write_offset(str(self.clock_file), 0.0)
        clock.use_file(str(self.clock_file))
        self.redis = RedisServer(folder, "broker").start()
        self.queue = f"queue-{os.urandom(3).hex()}"
        self.owner_dsn = postgres.dsn("api_recycle_role", search_path="recycle_info")
        self.tasks_dsn = postgres.dsn("worker_role", search_path="tasks")
        with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as conn:
            conn.execute(_TABLES)
            conn.execute(
                "TRUNCATE recycle_info.fault_rows, recycle_info.outbox, recycle_info.failed_tasks, tasks.task_results,"
                " tasks.task_history, tasks.quarantine, tasks.fell"
            )
        self.owner = FaultOwner(self.owner_dsn, self.redis.url, loop, f"owner-{os.urandom(3).hex()}")
        self.started: Path | None = None  # what emulators of this row start from; else they start for the first time
        self.accepted: set[UUID] = set()
        self.children: list[BaseProcess] = []
        self.journals: list[Path] = []
        self.offset = 0.0

    # Time

    def advance(self, seconds: float) -> None:
        """Move the clock of every process that follows the system's."""
        self.offset += seconds
        with self.clock_file.open("r+b") as file:
            file.write(struct.pack("<d", self.offset))

    # Processes

    def spawn(self, target: Callable[..., None], *args: Any) -> BaseProcess:
        """Start `target` in a process of its own (forked from a clean one that has the imports done)."""
        child = _CONTEXT.Process(target=target, args=args, daemon=True)
        child.start()
        self.children.append(child)
        return child

    def worker(self, name: str = "w1", **options: Any) -> BaseProcess:
        """A worker process on the journal `name`; options as of `process.Options`."""
        path = self.folder / f"{name}.db"
        if path not in self.journals:
            self.journals.append(path)
        fields = {"clock_file": str(self.clock_file), "effects": str(self.folder / "effects")} | options
        return self.spawn(
            process.work, process.Options(broker=self.redis.url, journal=str(path), queue=self.queue, **fields)
        )

    def kill(self, child: BaseProcess, number: int = signal.SIGKILL) -> None:
        if child.is_alive() and child.pid:
            os.kill(child.pid, number)
        child.join(30)

    def stop(self, child: BaseProcess) -> None:
        self.kill(child, signal.SIGTERM)

    # Tasks

    def accept(self, count: int, function: str = "effect", **options: Any) -> list[UUID]:
        """Accept so many tasks, as an API would."""
        ids = self.owner.enqueue(f"{self.queue}/{function}", *range(count), **options)
        self.accepted.update(ids)
        return ids

    def until(self, look: Callable[[], Any], what: str, seconds: float = 60.0, *, time_flies: bool = True) -> None:
        """Wait until `look` holds; when no task ends for a while, let a quarter of an hour pass on the clock."""
        begin = last = time.monotonic()
        open_ = -1
        while not look():
            now = time.monotonic()
            must(now - begin < seconds, f"not within {seconds:g} s: {what}")
            if time_flies and (left := self.owner.outbox()) != open_:
                # Time must not outrun the work, or the relay's copies of everything would pile up.
                open_, last = left, now
            if time_flies and now - last > 2:
                self.advance(960)
                last = now
            time.sleep(0.05)

    def settled(self) -> bool:
        return self.owner.outbox() == 0

    def drain(self, seconds: float = 240.0, *, time_flies: bool = True) -> None:
        """Wait until every task has its answer."""
        self.until(self.settled, "the outbox is empty", seconds, time_flies=time_flies)

    def sync(self) -> None:
        """Drain every journal."""
        for path in self.journals:
            syncer = Syncer("storage", path, self.tasks_dsn)
            while syncer.cycle().changed:
                pass
            syncer.close()

    def rows(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.postgres.dsn("postgres"), autocommit=True) as conn:
            return conn.execute(query, values).fetchall()  # type: ignore[call-overload,no-any-return]  # psycopg asks for literal SQL, rows are Any

    # The invariant

    def check(self, *, accepted: Iterable[UUID] | None = None) -> dict[str, Any]:
        """Accepted = terminal at the owner = terminal in `tasks` + named quarantined rows; and the rest of the invariant."""
        for child in self.children:
            if child.is_alive():
                self.stop(child)
        must(self.settled(), "the outbox is not empty")
        self.sync()
        wanted = {str(i) for i in (self.accepted if accepted is None else accepted)}
        at_owner = {
            str(id_): (status, str(run), hash_, applied)
            for id_, status, run, hash_, applied in self.rows(
                "SELECT id, status, run_id, result_hash, applied FROM recycle_info.fault_rows"
            )
        }
        ended = {i for i, (status, *_) in at_owner.items() if status in ("success", "failure")}
        must(ended == wanted, f"lost at the owner {len(wanted - ended)}, unexpected {len(ended - wanted)}")
        twice = [i for i, (*_, applied) in at_owner.items() if applied != 1]
        must(not twice, f"took effect other than once: {twice[:3]}")
        in_tasks = {i for (i,) in self.rows("SELECT task_id FROM tasks.task_results WHERE status <> 'pending'")}
        quarantined = {i for (i,) in self.rows("SELECT task_id FROM tasks.quarantine WHERE released_at IS NULL")}
        must(
            in_tasks | quarantined >= wanted and not in_tasks - wanted,
            f"lost in tasks {len(wanted - in_tasks - quarantined)}, unexpected {len(in_tasks - wanted)}",
        )
        must(not self.rows("SELECT 1 FROM tasks.fell"), "a state fell")
        doubles = self.rows(
            "SELECT task_id FROM tasks.task_history GROUP BY task_id, event_type, event_data ->> 'run_id' HAVING count(*) > 1"
        )
        must(not doubles, f"history twice: {doubles[:3]}")
        history = {
            (task, run): (status, hash_)
            for task, run, status, hash_ in self.rows(
                "SELECT task_id, event_data ->> 'run_id', event_data ->> 'status', event_data ->> 'result_hash'"
                " FROM tasks.task_history WHERE event_type IN ('completed', 'failed')"
            )
        }
        for id_, (status, run, hash_, _) in at_owner.items():
            if id_ not in quarantined:
                must(
                    history.get((id_, run)) == (status, hash_),
                    f"the run {run} that the owner kept for {id_} is not in the history as {status}: {history.get((id_, run))}",
                )
        for path in self.journals:
            db = sqlite3.connect(path)
            must(db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], f"{path.name} is damaged")
            db.close()
        effects = list((self.folder / "effects").glob("*"))
        must(len({e.name for e in effects}) == len(effects), "an effect twice")
        return {"accepted": len(wanted), "lost": 0, "quarantined": len(quarantined)}

    def close(self) -> None:
        for child in self.children:
            if child.is_alive():
                self.kill(child)
        if self.owner.running:
            self.owner.stop()
        self.owner.close()
        self.redis.stop()
        clock.use_file(None)


class Bench(Struct):
    """What the rows share: the cluster and the event loop of in-process owners."""

    folder: Path
    postgres: Postgres
    loop: asyncio.AbstractEventLoop
    started: Path | None = None
    count: int = 0

    @contextmanager
    def system(self, seed: int, *, full: bool) -> Iterator[System]:
        """A fresh system."""
        self.count += 1
        made = System(self.folder / f"row-{self.count}", self.postgres, self.loop, seed, full)
        made.started = self.started
        try:
            yield made
        finally:
            made.close()


@contextmanager
def bench(folder: Path, postgres: Postgres | None = None, started: Path | None = None) -> Iterator[Bench]:
    """The shared parts; starts a cluster where none is given. `started` is an emulator's state that ran once."""
    with event_loop() as loop:
        if postgres is not None:
            yield Bench(folder, postgres, loop, started)
            return
        server = Postgres(folder / "postgres", durable=False).start()
        try:
            migrate.prepare(server.superuser_dsn, server.state.passwords())
            migrate.apply(server.dsn("migrator"))
            yield Bench(folder, server, loop)
        finally:
            server.destroy()


def through(dsn: str, port: int) -> str:
    """The same address by way of a proxy's port."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}"))


__all__ = [
    "Bench",
    "Broken",
    "Broker",
    "HostConsumer",
    "ProxyThread",
    "Relay",
    "System",
    "bench",
    "call",
    "must",
    "threading",
    "through",
]
