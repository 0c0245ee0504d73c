"""Faults of the worker, its journal's disk, and the broker."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import redis

from runtime.delivery.broker import Broker
from runtime.journal.drain import Syncer
from runtime.journal.journal import Journal
from runtime.journal.states import Ended, Start
from runtime.journal.syncer import Loop
from shared import clock
from shared.ids import new_id
from tests.faults import process
from tests.faults.system import System, must
from tests.faults.table import row

POINTS = ("received", "journalled", "working", "done", "ended", "sending", "acked")


@row(1, "kill -9 the worker at 7 named points", "lost 0, one effect an id")
def killed_worker(system: System) -> dict[str, Any]:
    times = 30 if system.full else 3
    system.owner.start()
    kills = 0
    for point in POINTS:
        for _ in range(times):
            child = system.worker(kill=(point, system.random.randint(1, 6)), threads=2, prefetch=4)
            end = time.monotonic() + 20
            while child.is_alive():
                must(time.monotonic() < end, f"not killed at {point}")
                system.accept(2)
                time.sleep(0.02)
            child.join()
            kills += child.exitcode == -signal.SIGKILL
    system.worker()
    system.drain()
    system.owner.stop()
    return {"kills": kills, **system.check()}


@row(14, "Redis down while 100 tasks fail", "lost 0")
def redis_down_while_failing(system: System) -> dict[str, Any]:
    system.owner.start()
    system.worker(threads=4, seconds=0.0)
    system.accept(50, "fail")
    time.sleep(0.1)
    system.redis.stop()
    system.accept(50, "fail")
    time.sleep(30 if system.full else 2)
    system.redis.start()
    system.drain()
    system.owner.stop()
    return system.check()


@row(15, "Redis down with 100 tasks due in it", "all run <= 60 s after, no restart")
def redis_down_with_tasks_due(system: System) -> dict[str, Any]:
    system.owner.start()
    system.worker(threads=1, seconds=0.02)
    system.accept(100)
    time.sleep(0.2)
    system.redis.stop()
    time.sleep(30 if system.full else 2)
    begin = time.monotonic()
    system.redis.start()
    system.drain(60, time_flies=False)
    after = time.monotonic() - begin
    system.owner.stop()
    return {"seconds": round(after, 1), **system.check()}


@row(16, "FLUSHALL with 1,000 queued; the broker at maxmemory during 100 acks", "all sent again, one effect each")
def flushed_and_full(system: System) -> dict[str, Any]:
    system.owner.start()
    count = 1000 if system.full else 300
    system.accept(count)
    client = redis.Redis.from_url(system.redis.url)
    system.until(
        lambda: system.owner.broker.depth(system.queue) >= min(count, 300), "some are queued", time_flies=False
    )
    client.flushall()
    system.worker(threads=4, prefetch=32)
    system.drain()
    system.accept(100, delay=0)
    # Full from here on: publications and results are refused, acks and fetches are not.
    used: Any = client.info("memory")
    client.config_set("maxmemory", used["used_memory"] // 2)
    time.sleep(2)
    client.config_set("maxmemory", 0)
    system.drain()
    client.close()
    system.owner.stop()
    return system.check()


@row(17, "every message delivered 5 times", "one effect each")
def delivered_five_times(system: System) -> dict[str, Any]:
    publish = system.owner.broker.publish
    system.owner.broker.publish = lambda messages, **how: publish(list(messages) * 5, **how)  # type: ignore[method-assign]  # the row delivers every message five times
    system.owner.start()
    for name in ("w1", "w2", "w3"):
        system.worker(name, threads=2, prefetch=8)
    system.accept(1000 if system.full else 200)
    system.drain()
    time.sleep(0.5)
    system.owner.stop()
    return system.check()


@row(18, "a process's clock off by 61 s and by a day", "lost 0; order never taken from clocks")
def wrong_clocks(system: System) -> dict[str, Any]:
    system.owner.start()
    for number, skew in enumerate((-86400.0, -61.0, 61.0, 86400.0)):
        path = system.folder / f"clock-{number}"
        clock.write_offset(str(path), skew)
        child = system.worker(f"w{number}", clock_file=str(path), threads=2)
        system.accept(100 if system.full else 25)
        if number % 2:
            system.kill(child)
            system.worker(f"w{number}", clock_file=str(path), threads=2)
    system.drain()
    system.owner.stop()
    return system.check()


@row(
    19,
    "rolling restarts with tasks in flight, old and new code mixed, SIGKILL at the grace limit",
    "lost 0, unknown actor 0",
)
def rolling_restarts(system: System) -> dict[str, Any]:
    system.owner.start()
    old, new = ("effect", "fail"), ("effect", "fail", "new")
    count = 500 if system.full else 120
    running = {name: system.worker(name, functions=old, seconds=0.01) for name in ("w1", "w2")}
    system.accept(count)
    system.accept(count // 5, "new")
    for turn in range(10 if system.full else 3):
        for name in running:
            system.kill(running[name], signal.SIGTERM if system.random.random() < 0.5 else signal.SIGKILL)
            running[name] = system.worker(name, functions=old if (turn % 2 and name == "w1") else new, seconds=0.01)
            time.sleep(0.2)
    for name in running:
        system.stop(running[name])
        running[name] = system.worker(name, functions=new)
    system.drain(240)
    unknown = system.rows("SELECT id FROM recycle_info.fault_rows WHERE status = 'failure'")
    must(not unknown, f"{len(unknown)} tasks failed for want of code")
    system.owner.stop()
    return system.check()


# The journal's disk


def _start() -> Start:
    return Start(str(new_id()), "effect", str(new_id()), clock.now().isoformat())


def _finish(journal: Journal, begun: Start, text: str = "x" * 500) -> Any:
    journal.begin([begun])
    ended = Ended(begun.task_id, begun.run_id, "success", clock.now().isoformat(), "h", json.dumps({"t": text}))
    return journal.end(ended, begun, begun.queued_at)


def _present(path: Path) -> set[str]:
    db = sqlite3.connect(path)
    try:
        must(db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], f"{path.name} is damaged")
        return {i for (i,) in db.execute("SELECT task_id FROM local_tasks WHERE status = 'success'")}
    finally:
        db.close()


def fill_disk(path: str, places: int, seed: int) -> None:
    """In a process of its own: let files grow only a little further, again and again (RLIMIT_FSIZE)."""
    journal = Journal(Path(path))
    for place in range(places):
        wal = Path(f"{path}-wal")
        room = wal.stat().st_size + (place * 977 + seed) % 20_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        begun = [_start() for _ in range(60)]
        futures = [_finish(journal, one) for one in begun]
        end = time.monotonic() + 5
        while not journal.trouble and not all(f.done() for f in futures) and time.monotonic() < end:
            time.sleep(0.002)
        acked = {one.task_id for one, future in zip(begun, futures, strict=True) if future.done()}
        if not acked <= _present(Path(path)):
            os._exit(3)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for future in futures:
            future.result(20)
        if not {one.task_id for one in begun} <= _present(Path(path)):
            os._exit(4)
    journal.close()


@row(9, "disk full at 30 places (max_page_count, RLIMIT_FSIZE)", "no ack without a journal row; recovers by itself")
def disk_full(system: System) -> dict[str, Any]:
    places = 15 if system.full else 4
    path = system.folder / "full.db"
    journal = Journal(path)
    troubles = 0
    for place in range(places):
        pages = journal.submit(lambda db: db.execute("PRAGMA page_count").fetchone()[0]).result()
        journal.submit(lambda db, n=pages + place: db.execute(f"PRAGMA max_page_count={n}").fetchall()).result()
        begun = [_start() for _ in range(40)]
        futures = [_finish(journal, one) for one in begun]
        end = time.monotonic() + 5
        while not journal.trouble and not all(f.done() for f in futures) and time.monotonic() < end:
            time.sleep(0.002)
        troubles += bool(journal.trouble)
        acked = {one.task_id for one, future in zip(begun, futures, strict=True) if future.done()}
        must(acked <= _present(path), "acked without a row")
        # The writing thread opens the file anew, and a new connection has no limit: the disk has room again.
        for future in futures:
            future.result(20)
        must({one.task_id for one in begun} <= _present(path), "not all are there")
    journal.close()
    must(troubles > 0, "the disk was never full")
    child = system.spawn(fill_disk, str(system.folder / "limited.db"), places, system.seed)
    child.join(120)
    must(child.exitcode == 0, f"the limited process ended with {child.exitcode}")
    return {"places": 2 * places}


_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/types.h>
/* Fails the N-th write or sync of a file whose path holds a word, as often as ECO2_IO_TIMES says, and counts syncs. */
static long calls, syncs, at = -1, times, hit;
static const char *word;
static void setup(void) {
    if (at >= 0) return;
    const char *n = getenv("ECO2_IO_AT"), *t = getenv("ECO2_IO_TIMES");
    word = getenv("ECO2_IO_WORD"); times = t ? atol(t) : 1; at = n ? atol(n) : 0;
}
static int ours(int fd) {
    char link[64], path[4096]; ssize_t n;
    setup();
    if (!word) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return strstr(path, word) != 0;
}
static int fails(int fd) {
    if (!ours(fd)) return 0;
    calls++;
    if (at && calls >= at && hit < times) { hit++; errno = EIO; return 1; }
    return 0;
}
long eco2_syncs(void) { return syncs; }
long eco2_hits(void) { return hit; }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    return fails(fd) ? -1 : real(fd, b, n, o);
}
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { return pwrite64(fd, b, n, o); }
ssize_t write(int fd, const void *b, size_t n) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    return fails(fd) ? -1 : real(fd, b, n);
}
int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    if (ours(fd)) syncs++;
    return fails(fd) ? -1 : real(fd);
}
int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    if (ours(fd)) syncs++;
    return fails(fd) ? -1 : real(fd);
}
"""

_IO = """
import ctypes, json, logging, os, sys
logging.disable(logging.CRITICAL)
from tests.faults.rows_worker import _finish, _present, _start
from runtime.journal.file import JournalUnusable
from runtime.journal.journal import Journal
from pathlib import Path
shim = ctypes.CDLL(None)
mode, path, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
for _ in range(5):
    try:
        journal = Journal(path)
        break
    except JournalUnusable:
        # The fault struck while the file was opened: the process ends with one line, and is started again.
        continue
acked = []
before = shim.eco2_syncs()
for _ in range(count):
    begun = _start()
    _finish(journal, begun).result(30)
    acked.append(begun.task_id)
syncs = shim.eco2_syncs() - before
journal.close()
assert set(acked) <= _present(path), "an acked row is gone"
print(json.dumps({"syncs": syncs, "hits": shim.eco2_hits(), "commits": journal.commits}))
"""


def _shim(folder: Path) -> Path:
    """The library that fails system calls, compiled here: there is no other way to an I/O error without root or a device."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    must(compiler, "this row needs a C compiler (cc): apt-get install gcc")
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(_SHIM)
    subprocess.run(
        [str(compiler), "-shared", "-fPIC", "-O1", "-w", "-o", str(library), str(source), "-ldl"], check=True
    )
    return library


def _with_shim(library: Path, mode: str, path: Path, count: int, at: int = 0, times: int = 1) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, "-c", _IO, mode, str(path), str(count)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "LD_PRELOAD": str(library),
            "ECO2_IO_WORD": path.name,
            "ECO2_IO_AT": str(at),
            "ECO2_IO_TIMES": str(times),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    must(answer.returncode == 0, f"{mode} at {at}: {answer.stderr.strip().splitlines()[-1:]}")
    return json.loads(answer.stdout)  # type: ignore[no-any-return]  # json.loads is typed as Any


@row(10, "I/O errors at the N-th write or sync", "corrupt 0, acked rows present")
def io_errors(system: System) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        library = _shim(Path(name))
        numbers = range(1, 101) if system.full else system.random.sample(range(1, 101), 4)
        hits = 0
        for number in numbers:
            path = system.folder / f"io-{number}.db"
            hits += _with_shim(library, "error", path, 20, number, system.random.randint(1, 3))["hits"] > 0
    must(hits > 0, "no call was failed")
    return {"places": len(list(numbers)), "hit": hits}


@row(11, "fdatasync counted over 500 terminal commits", "every terminal commit is on disk before its ack")
def syncs_counted(system: System) -> dict[str, Any]:
    count = 500
    with tempfile.TemporaryDirectory() as name:
        found = _with_shim(_shim(Path(name)), "count", system.folder / "sync.db", count)
    must(found["syncs"] >= count, f"{found['syncs']} syncs for {count} commits that were waited for one by one")
    return {"commits": count, "syncs": found["syncs"]}


@row(12, "the syncer stopped (SIGSTOP), 20,000 writes", "WAL <= 16 MB, alarm on age")
def stopped_syncer(system: System) -> dict[str, Any]:
    path = system.folder / "w1.db"
    journal = Journal(path)
    system.journals.append(path)
    child = system.spawn(process.sync_forever, str(path), system.tasks_dsn, str(system.clock_file), 0.05)
    time.sleep(1)
    assert child.pid
    os.kill(child.pid, signal.SIGSTOP)
    largest = 0
    try:
        wal = Path(f"{path}-wal")
        for _ in range(20 if system.full else 5):
            futures = [_finish(journal, _start()) for _ in range(1000)]
            for future in futures:
                future.result(60)
            largest = max(largest, wal.stat().st_size)
        must(largest <= 16 << 20, f"the WAL grew to {largest >> 20} MiB")
        system.advance(3600)
        watching = Loop(Syncer("storage", path, system.tasks_dsn), period=300)
        watching._look()
        must(any("oldest unsynced row" in reason for reason in watching.reasons), "no alarm")
        watching.syncer.close()
    finally:
        os.kill(child.pid, signal.SIGCONT)
    # Stopped in the middle of a drain, wherever that is: the worker's commits wait for nothing that it holds.
    slowest = 0.0
    for _ in range(60 if system.full else 15):
        for future in [_finish(journal, _start()) for _ in range(500)]:
            future.result(60)
        time.sleep(system.random.uniform(0.0, 0.06))
        os.kill(child.pid, signal.SIGSTOP)
        begin = time.monotonic()
        try:
            for future in [_finish(journal, _start()) for _ in range(20)]:
                future.result(10)
        finally:
            os.kill(child.pid, signal.SIGCONT)
        slowest = max(slowest, time.monotonic() - begin)
    system.kill(child)
    journal.close()
    return {"largest_wal_mib": round(largest / (1 << 20), 1), "slowest_beside_a_stopped_one": round(slowest, 2)}


@row(13, "4 writers and the syncer", "BUSY surfaced 0")
def many_writers(system: System) -> dict[str, Any]:
    path = system.folder / "w1.db"
    journal = Journal(path)
    transactions = 50_000 if system.full else 4_000
    syncing = system.spawn(process.sync_forever, str(path), system.tasks_dsn, str(system.clock_file))
    writers = [system.spawn(process.write, str(path), transactions // 5, number) for number in range(3)]
    threads = [
        threading.Thread(target=lambda: [_finish(journal, _start()).result(60) for _ in range(transactions // 10)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for writer in writers:
        writer.join(120)
        must(writer.exitcode == 0, f"a writer ended with {writer.exitcode}")
    must(syncing.is_alive(), f"the syncer ended with {syncing.exitcode}")
    system.kill(syncing)
    must(not journal.trouble, journal.trouble)
    journal.close()
    return {"transactions": transactions, "present": len(_present(path))}


__all__ = ["Broker"]
