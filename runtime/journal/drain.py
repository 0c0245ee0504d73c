"""Drains a worker's journal into `tasks.task_results` and `tasks.task_history`, beside the worker.

A cycle reads a batch (`reader.py`), sends one idempotent statement (`records.py`), and then marks those rows whose revision is
unchanged (`marks.py`). A batch that PostgreSQL refuses is sent in halves until the refused rows are alone; those go into
quarantine, and the rest lands in the same cycle.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path

import psycopg
from msgspec import Struct

from runtime.journal import reader
from runtime.journal.file import Lock
from runtime.journal.marks import Marks
from runtime.journal.reader import Backlog, Batch, Reader, Unreadable
from runtime.journal.records import REFUSED, Records, reason
from shared import clock

# Rows a statement: 1,000 rows of 500 bytes cross in half a megabyte, and a poison row is found in ten halvings.
BATCH = 1000
# Bytes of results a statement, but for a single larger row: a batch is copied some ten times on its way, and memory stays flat.
BATCH_BYTES = 2 << 20
# Rows marked in one transaction.
MARK = 1000
# While the worker writes too, on the same processors and the same disk, it comes first: its commits wait at most for a small
# statement's WAL and a few marks, and the syncer pauses after each batch for so many times what the batch took.
BESIDE = 200
BESIDE_MARK = 50
PATIENCE = 3.0
# Synced rows stay so long in the journal.
KEPT = timedelta(days=7)
# Seconds that a look after the retention of `tasks` takes at most.
RETAIN = 10.0
# Statements under way at once, each on a connection of its own: worker_role's pool of service.toml.
LANES = 2


class Cycle(Struct):
    """What one cycle did."""

    synced: int = 0
    quarantined: int = 0
    changed: int = 0  # rows that were updated between read and mark; the next cycle has them
    events: int = 0
    pruned: int = 0


class Syncer:
    """Drains one journal under one role. Not thread-safe; make it after a fork, not before.

    `reach` is told each point of a batch's life that it comes to: a test meddles, or ends the process, just there.
    """

    def __init__(
        self,
        worker: str,
        path: Path,
        dsn: str,
        *,
        batch: int = BATCH,
        reach: Callable[[str], None] = lambda point: None,
    ) -> None:
        self.worker = worker
        self.path = path
        self.reach = reach
        self.trouble = ""
        self.cycles = self.synced = self.quarantined = 0
        self._batch = self._limit = batch
        self._beside = True  # until it is seen that the worker is idle
        self._lock = Lock(path)
        self._reader = Reader(path, self._lock)
        self._marks = Marks(path, self._lock, self._reader)
        self._records = Records(worker, dsn, lambda point: self.reach(point))
        # What PostgreSQL has, perhaps not on its disk yet: the place in its log, and the revisions by rowid.
        self._put_down: deque[tuple[int, dict[int, int]]] = deque()
        self._lanes = ThreadPoolExecutor(LANES, "to-postgres")

    def close(self) -> None:
        self._lanes.shutdown()
        self._let_file_go()
        self._records.disconnect()
        self._lock.close()

    def backlog(self) -> Backlog:
        """What waits now; nothing where the worker has not made the file yet.

        Raises:
            sqlite3.Error: the journal can't be read.
            schema.NewerFile: a newer program has made it.
        """
        return self._reader.backlog()

    def cycle(self) -> Cycle:
        """Drain what waits now.

        Raises:
            psycopg.Error: PostgreSQL is away; what was marked until then stays marked.
            sqlite3.Error: the journal can't be read or marked.
            schema.NewerFile: a newer program has made it.
        """
        done = Cycle()
        try:
            if not self._reader.is_ready():
                return done
            self._drain_tasks(done)
            self._drain_events(done)
            done.pruned = self._drop("local_tasks", reader.SYNCED) + self._drop("local_events", reader.SYNCED_EVENTS)
        except psycopg.Error:
            self._records.disconnect()
            raise
        except sqlite3.Error:
            self._let_file_go()
            raise
        finally:
            self.synced += done.synced
            self.quarantined += done.quarantined
        self.cycles += 1
        return done

    def retain(self) -> bool:
        """Delete from `tasks` what is older than its retention, and from the journal what never ended.

        It takes RETAIN seconds at most; False: there is more.
        """
        if self._reader.is_ready():
            self._drop("local_tasks", reader.STALE)
        return self._records.retain(RETAIN)

    def _let_file_go(self) -> None:
        self._reader.close()
        self._marks.close()

    def _drain_tasks(self, done: Cycle) -> None:
        # Rows that change while the cycle runs keep their rowid: without an end it would never be done with a busy worker.
        last, after = self._reader.last_rowid(), 0
        under_way: deque[tuple[Batch, Future[int]]] = deque()
        try:
            while True:
                begun, activity = time.monotonic(), self._marks.activity
                try:
                    batch = self._reader.batch(after, last, self._fitting(after, last))
                except Unreadable:
                    after = self._drain_unreadable(after, last, done)
                    continue
                if not batch.revisions:
                    break
                after = batch.rowids[-1]
                under_way.append((batch, self._lanes.submit(self._put, batch)))
                # This thread reads and marks while PostgreSQL works on the others.
                while len(under_way) >= (1 if self._beside else LANES):
                    self._finish(*under_way.popleft(), done)
                self._beside = self._marks.activity != activity
                if self._beside:
                    time.sleep(PATIENCE * (time.monotonic() - begun))
            while under_way:
                self._finish(*under_way.popleft(), done)
            self._mark_flushed(done, wait=True)
        finally:
            wait(future for _, future in under_way)
            self._put_down.clear()

    def _fitting(self, after: int, last: int) -> int:
        """How many of the next rows a batch may hold for its size in bytes: at least one."""
        while self._limit > 1 and self._reader.size(after, last, self._limit) > BATCH_BYTES:
            self._limit //= 2
        limit, self._limit = self._limit, min(self._batch, self._limit * 2)
        return min(limit, BESIDE) if self._beside else limit

    def _put(self, batch: Batch) -> int:
        self.reach("read")
        return self._records.put(batch)

    def _finish(self, batch: Batch, put: Future[int], done: Cycle) -> None:
        try:
            place = put.result()
        except REFUSED:
            self._halve(batch.rowids, done)
        else:
            self._put_down.append((place, batch.revisions))
            self._mark_flushed(done)

    def _mark_flushed(self, done: Cycle, *, wait: bool = False) -> None:
        """Mark what is on PostgreSQL's disk of what was put; with `wait`, all of it."""
        if not self._put_down:
            return
        if wait:
            self._records.flush(max(place for place, _ in self._put_down))
        flushed = self._records.flushed()
        while self._put_down and self._put_down[0][0] <= flushed:
            self._mark(self._put_down.popleft()[1], done)

    def _mark(self, revisions: dict[int, int], done: Cycle) -> None:
        self.reach("committed")
        marked = self._marks.synced(revisions, BESIDE_MARK if self._beside else MARK)
        done.synced += marked
        done.changed += len(revisions) - marked
        self.reach("marked")

    def _drain_unreadable(self, after: int, last: int, done: Cycle) -> int:
        """Find out row by row which of the next rows are not text; return the last of them."""
        rowids = self._reader.rowids(after, last, self._batch)
        self._halve(rowids, done)
        return rowids[-1]

    def _halve(self, rowids: list[int], done: Cycle) -> None:
        """Send a refused batch in halves until the refused rows are alone."""
        middle = len(rowids) // 2
        for half in (rowids[:middle], rowids[middle:]) if middle else (rowids,):
            try:
                batch = self._reader.batch(half[0] - 1, half[-1], len(half))
                if batch.revisions:
                    self._put_down.append((self._put(batch), batch.revisions))
            except REFUSED as error:
                if len(half) > 1:
                    self._halve(half, done)
                else:
                    self._quarantine(half[0], reason(error), done)

    def _quarantine(self, rowid: int, why: str, done: Cycle) -> None:
        names = self._reader.names(rowid)
        if names is not None:
            self._records.quarantine(names, why)
            self._marks.quarantine(rowid, names.revision, why)
            done.quarantined += 1

    def _drain_events(self, done: Cycle) -> None:
        after = 0
        while rowids := self._reader.event_rowids(after, self._batch):
            after = rowids[-1]
            self._send_events(rowids, done)

    def _send_events(self, rowids: list[int], done: Cycle) -> None:
        """Send these; those that PostgreSQL refuses are found by halving, as rows are."""
        try:
            batch = self._reader.events(rowids[0] - 1, rowids[-1], len(rowids))
            if batch.revisions:
                self._records.flush(self._records.put_events(batch))
                done.events += self._marks.events(batch.rowids)
        except REFUSED as error:
            if middle := len(rowids) // 2:
                self._send_events(rowids[:middle], done)
                self._send_events(rowids[middle:], done)
            elif names := self._reader.event_names(rowids[0]):
                self._records.quarantine(names, reason(error))
                self._marks.events(rowids, refused=True)
                done.quarantined += 1

    def _drop(self, table: str, query: str) -> int:
        before = (clock.now() - KEPT).isoformat()
        dropped = 0
        while rowids := self._reader.removable(query, before):
            count = self._marks.drop(table, rowids)
            if not count:
                break
            dropped += count
        return dropped
