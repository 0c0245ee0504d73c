"""Faults of the syncer and of PostgreSQL."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from runtime.journal.drain import Syncer
from runtime.journal.file import written
from runtime.journal.journal import Journal
from runtime.journal.states import Ended, Start
from runtime.journal.syncer import Loop
from shared import clock
from shared.ids import new_id
from tests.faults import process
from tests.faults.system import System, must, through
from tests.faults.table import row
from tests.proxies import ProxyThread


def _start(task_id: str | None = None) -> Start:
    return Start(task_id or str(new_id()), "effect", str(new_id()), clock.now().isoformat())


def _end(journal: Journal, begun: Start, status: Any = "success", **fields: Any) -> Any:
    ended = Ended(
        begun.task_id, begun.run_id, status, clock.now().isoformat(), f"hash-{begun.run_id}", '{"a": 1}', **fields
    )
    return journal.end(ended, begun, begun.queued_at)


def _fill(journal: Journal, count: int) -> list[Start]:
    starts = [_start() for _ in range(count)]
    journal.begin(starts).result()
    for future in [_end(journal, begun) for begun in starts]:
        future.result()
    return starts


def _compare(system: System, path: Path) -> int:
    """SQLite and PostgreSQL say the same of every task; return how many there are."""
    with written(path) as db:
        local = {
            row[0]: (row[1], row[2], row[3])
            for row in db.execute("SELECT task_id, status, run_id, result_hash FROM local_tasks")
        }
    there = {
        row[0]: (row[1], row[2] and str(row[2]), row[3])
        for row in system.rows("SELECT task_id, status, run_id, result_hash FROM tasks.task_results")
    }
    must(
        local == there,
        f"{len(local)} rows here, {len(there)} there, {sum(local.get(k) != v for k, v in there.items())} differ",
    )
    doubles = system.rows(
        "SELECT 1 FROM tasks.task_history GROUP BY task_id, event_type, event_data ->> 'run_id' HAVING count(*) > 1"
    )
    must(not doubles, "history twice")
    must(not system.rows("SELECT 1 FROM tasks.fell"), "a state fell")
    return len(local)


@row(2, "kill -9 the syncer at 4 points", "lost 0, duplicate history 0")
def killed_syncer(system: System) -> dict[str, Any]:
    path = system.folder / "w1.db"
    journal = Journal(path)
    times = 50 if system.full else 5
    for point in ("read", "connected", "committed", "marked"):
        for _ in range(times):
            _fill(journal, 25)
            child = system.spawn(
                process.sync, str(path), system.tasks_dsn, str(system.clock_file), (point, system.random.randint(1, 3))
            )
            child.join(30)
            must(child.exitcode == -9, f"not killed at {point}: {child.exitcode}")
    syncer = Syncer("storage", path, system.tasks_dsn)
    syncer.cycle()
    syncer.close()
    journal.close()
    return {"kills": 4 * times, "rows": _compare(system, path)}


@row(3, "PostgreSQL cut for 72 cycles of 5 virtual minutes", "workers see no error; drained <= 60 s after")
def postgres_cut(system: System) -> dict[str, Any]:
    count = 10_000 if system.full else 600
    with ProxyThread(system.seed) as proxy:
        port = proxy.link("postgres", system.postgres.port)
        system.owner.start()
        system.accept(count)
        worker = system.worker(threads=4, prefetch=128)
        loop = Loop(Syncer("storage", system.folder / "w1.db", through(system.tasks_dsn, port)), period=300)
        system.until(lambda: loop.syncer.backlog().rows > 0, "something to sync", time_flies=False)
        fault = proxy.add("postgres", "cut")
        for _ in range(72):
            loop._cycle()
            must(loop.syncer.trouble, "PostgreSQL is not cut")
            system.advance(300)
        must(worker.is_alive(), "the worker died")
        system.drain(240)
        proxy.clear(fault)
        begin = time.monotonic()
        loop._cycle()
        took = time.monotonic() - begin
        must(not loop.syncer.trouble, loop.syncer.trouble)
        must(took <= 60, f"drained in {took:.0f} s")
        loop.syncer.close()
    system.owner.stop()
    return {"seconds": round(took, 1), **system.check()}


@row(4, "a proxy drops the answer to COMMIT", "duplicates 0")
def lost_answers(system: System) -> dict[str, Any]:
    path = system.folder / "w1.db"
    journal = Journal(path)
    lost = 0
    with ProxyThread(system.seed) as proxy:
        port = proxy.link("postgres", system.postgres.port)
        syncer = Syncer("storage", path, through(system.tasks_dsn, port), batch=5)
        for _ in range(200 if system.full else 30):
            _fill(journal, system.random.randint(1, 12))
            # Connected before, so that it is the statement whose answer (it commits itself) is lost.
            with syncer._records._connection() as conn:
                conn.execute("SELECT 1")
            fault = proxy.add("postgres", "swallow", chance=1.0)
            try:
                syncer.cycle()
            except psycopg.Error:
                lost += 1
            proxy.clear(fault)
        syncer.cycle()
        syncer.close()
    journal.close()
    return {"lost_answers": lost, "rows": _compare(system, path)}


@row(5, "an update between the syncer's read and mark", "SQLite = PostgreSQL")
def updates_between(system: System) -> dict[str, Any]:
    path = system.folder / "w1.db"
    journal = Journal(path)
    syncer = Syncer("storage", path, system.tasks_dsn, batch=20)
    chance = system.random
    open_: list[Start] = []
    changed = 0

    def meddle(point: str) -> None:
        if point == "committed":
            for _ in range(chance.randint(0, 4)):
                if open_ and chance.random() < 0.7:
                    # As a rule the newest, which the statement under way has just written.
                    begun = open_.pop(-1 if chance.random() < 0.7 else chance.randrange(len(open_)))
                    if chance.random() < 0.3:
                        # Taken over by another run first.
                        begun = _start(begun.task_id)
                        journal.begin([begun]).result()
                    _end(journal, begun, chance.choice(["success", "failure"])).result()
                else:
                    begun = _start()
                    journal.begin([begun]).result()
                    open_.append(begun)

    syncer.reach = meddle
    # A cycle waits for the disk: ten thousand of them would take longer than the rest of the table.
    for _ in range(3_000 if system.full else 400):
        begun = _start()
        journal.begin([begun]).result()
        open_.append(begun)
        changed += syncer.cycle().changed
    syncer.reach = lambda point: None
    while syncer.cycle().changed:
        pass
    syncer.cycle()
    syncer.close()
    journal.close()
    must(changed > (600 if system.full else 80), f"only {changed} updates came in between")
    return {"between": changed, "rows": _compare(system, path)}


@row(6, "one id in two journals, shuffled orders", "no terminal state regresses")
def one_id_two_journals(system: System) -> dict[str, Any]:
    made = [Journal(system.folder / f"w{n}.db") for n in (1, 2)]
    syncers_ = [Syncer("storage", journal.path, system.tasks_dsn) for journal in made]
    orders = 1000 if system.full else 60
    chance = system.random
    for _ in range(orders):
        task_id = str(new_id())
        results = [chance.choice(["success", "failure", None]) for _ in made]
        begun = [_start(task_id) for _ in made]
        steps: list[tuple[str, int]] = [(step, n) for n in (0, 1) for step in ("begin", "sync", "end", "sync")]
        # Shuffled, but each journal's own steps keep their order.
        order = sorted(range(8), key=lambda i: (chance.random(), i))
        waiting = {0: [s for s in steps if s[1] == 0], 1: [s for s in steps if s[1] == 1]}
        for i in order:
            step, n = waiting[i % 2].pop(0)
            if step == "begin":
                made[n].begin([begun[n]]).result()
            elif step == "end" and results[n]:
                _end(made[n], begun[n], results[n]).result()
            elif step == "sync":
                syncers_[n].cycle()
        ranks = {None: 0, "failure": 1, "success": 2}
        best = max(results, key=lambda r: ranks[r])
        ((status,),) = system.rows("SELECT status FROM tasks.task_results WHERE task_id = %s", task_id)
        must(status == (best or "pending"), f"{results} became {status}")
    must(not system.rows("SELECT 1 FROM tasks.fell"), "a state fell")
    for part in (*syncers_, *made):
        part.close()
    return {"orders": orders}


@row(
    7,
    "13 kinds of poison row at 3 places in a batch of 100",
    "the other 99 land in that cycle; the row is quarantined with its reason",
)
def poison(system: System) -> dict[str, Any]:
    from tests.runtime.journal.test_syncer import POISON

    kinds = 0
    for kind, values in POISON.items():
        for place in (0, 50, 99):
            path = system.folder / f"poison-{kinds}.db"
            journal = Journal(path)
            starts = _fill(journal, 100)
            for column, value in values.items():
                journal.submit(
                    lambda db, column=column, value=value, id_=starts[place].task_id: db.execute(
                        f"UPDATE local_tasks SET {column} = {'CAST(? AS TEXT)' if isinstance(value, bytes) else '?'}"
                        " WHERE task_id = ?",
                        [value, id_],
                    )
                ).result()
            syncer = Syncer("storage", path, system.tasks_dsn)
            done = syncer.cycle()
            must((done.synced, done.quarantined) == (99, 1), f"{kind} at {place}: {done}")
            syncer.close()
            journal.close()
            kinds += 1
    reasons = system.rows("SELECT reason FROM tasks.quarantine")
    must(all(reason for (reason,) in reasons), "a row in quarantine without its reason")
    return {"rows": kinds}


@row(8, "4 syncers, overlapping rows", "deadlocks unhandled 0")
def overlapping(system: System) -> dict[str, Any]:
    journal = Journal(system.folder / "w1.db")
    count = 5000 if system.full else 1200
    _fill(journal, count)
    journal.close()
    paths = [system.folder / f"copy-{n}.db" for n in range(4)]
    for path in paths:
        shutil.copy(journal.path, path)
    together = threading.Barrier(4)

    def drain(path: Path) -> int:
        syncer = Syncer("storage", path, system.tasks_dsn, batch=100 + 37 * paths.index(path))
        together.wait()
        done = syncer.cycle()
        syncer.close()
        return done.synced

    with ThreadPoolExecutor(4) as pool:
        synced = list(pool.map(drain, paths))
    must(synced == [count] * 4, f"synced {synced}")
    return {"rows": _compare(system, paths[0])}
