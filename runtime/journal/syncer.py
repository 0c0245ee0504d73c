"""The syncer, a process beside each worker: cycles of `runtime.journal.drain`, early when much waits, and alarms.

python -m runtime.journal.syncer storage [--once]      (`eco2 sync storage`)
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from runtime import telemetry
from runtime.journal.drain import Syncer
from runtime.journal.reader import Backlog
from runtime.journal.schema import NewerFile
from shared import clock

if TYPE_CHECKING:
    from runtime.services import Service

log = logging.getLogger("eco2.syncer")

# With so many rows waiting a cycle begins early; looked at every LOOK seconds.
LARGE = 5000
LOOK = 5.0
# How often the retention of `tasks` is looked after, in seconds.
RETAIN = 3600.0
# The oldest unsynced row may be this many cycles old before /readyz and the log raise the alarm.
ALARM_CYCLES = 3


class Loop:
    """Cycles every `period` seconds, early when much waits, once more when told to stop."""

    def __init__(self, syncer: Syncer, period: float) -> None:
        self.syncer = syncer
        self.period = period
        self.told = threading.Event()
        self.reasons: list[str] = []
        self.backlog = Backlog(0, 0.0, 0)
        self._alarmed = False
        self._retained = 0.0
        self._looked = time.monotonic()

    def run(self) -> None:
        last = clock.time()
        while not self.told.is_set():
            clock.wait(self.told, min(LOOK, self.period))
            self._look()
            # Also after the clock was set back, which would otherwise be waited for.
            due = not 0 <= clock.time() - last < self.period
            if due or self.told.is_set() or self.backlog.rows >= LARGE:
                self._cycle()
                last = clock.time()
        self._cycle()

    def _look(self) -> None:
        try:
            self.backlog = self.syncer.backlog()
            self._looked = time.monotonic()
        except (sqlite3.Error, NewerFile) as error:
            self.reasons = [f"the journal can't be read: {error}"]
            return
        reasons = [self.syncer.trouble] if self.syncer.trouble else []
        if self.backlog.oldest > ALARM_CYCLES * self.period:
            reasons.append(f"the oldest unsynced row is {self.backlog.oldest:.0f} s old")
            if not self._alarmed:
                log.error("alarm: %s, %d rows wait", reasons[-1], self.backlog.rows)
            self._alarmed = True
        else:
            self._alarmed = False
        if self.backlog.quarantined:
            reasons.append(f"{self.backlog.quarantined} rows are in quarantine: `eco2 tasks quarantine` lists them")
        self.reasons = reasons

    def _cycle(self) -> None:
        started = time.monotonic()
        try:
            done = self.syncer.cycle()
            if not 0 <= clock.time() - self._retained < RETAIN:
                # With more to delete it goes on after the next cycle.
                self._retained = clock.time() if self.syncer.retain() else 0.0
        except (psycopg.Error, sqlite3.Error, NewerFile) as error:
            said = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            if not self.syncer.trouble:
                log.warning("not synced, the rows wait: %s", said)
            self.syncer.trouble = f"the last cycle failed: {said}"
        else:
            self.syncer.trouble = ""
            if done.synced or done.quarantined or done.pruned:
                log.info(
                    "synced %d rows in %.2f s, quarantined %d, pruned %d",
                    done.synced,
                    time.monotonic() - started,
                    done.quarantined,
                    done.pruned,
                )
        self._look()

    def oldest(self) -> float:
        """The age of the oldest unsynced row, also while a cycle hangs and no one looks."""
        return self.backlog.oldest + time.monotonic() - self._looked if self.backlog.rows else 0.0

    def health(self) -> dict[str, Any]:
        """The body of /healthz and /readyz."""
        oldest, reasons = self.oldest(), self.reasons
        alarmed = oldest > ALARM_CYCLES * self.period
        if (hung := time.monotonic() - self._looked) > max(60.0, ALARM_CYCLES * self.period):
            reasons = [*reasons, f"a cycle has been under way for {hung:.0f} s"]
        return {
            "alive": True,
            "ready": not alarmed and not self.syncer.trouble,
            "reasons": reasons,
            "backlog": self.backlog.rows,
            "oldest_seconds": oldest,
            "quarantined": self.backlog.quarantined,
            "cycles": self.syncer.cycles,
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Sync one worker's journal; exit code 1 when `--once` fails, 2 when it can't start."""
    from runtime.services import ServiceError, find, seconds
    from shared.settings import SettingsError, read

    parser = argparse.ArgumentParser(prog="eco2 sync", description="Copy a worker's journal to the schema tasks.")
    parser.add_argument("service", help="storage or ai")
    parser.add_argument("--once", action="store_true", help="one cycle, then end")
    args = parser.parse_args(argv)
    try:
        service = find(args.service)
        if service.journal is None:
            sys.stderr.write(f"eco2 sync: {args.service} has no journal: storage and ai have\n")
            return 2
        settings = read(
            os.environ, service=service.folder, database_env=service.database.env, required=["JOURNAL_PATH"]
        )
    except (ServiceError, SettingsError) as error:
        sys.stderr.write(f"eco2 sync: {error}\n")
        return 2
    telemetry.configure(f"sync-{service.folder}", settings.log_format, settings.log_level)
    period = settings.journal_sync_seconds if "JOURNAL_SYNC_SECONDS" in os.environ else seconds(service.journal.sync)
    path = Path(settings.journal_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    loop = Loop(Syncer(service.folder, path, settings.database_url), period)
    if args.once:
        loop._cycle()
        if loop.syncer.trouble:
            sys.stderr.write(f"eco2 sync {args.service}: {loop.syncer.trouble}\n")
        else:
            print(f"synced {loop.syncer.synced} rows, {loop.backlog.rows} wait")
        loop.syncer.close()
        return 1 if loop.syncer.trouble else 0
    return _serve(service, loop, settings.host, settings.health_port)


def _serve(service: Service, loop: Loop, host: str, port: int) -> int:
    from runtime.health import HealthServer

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.told.set())
    for name, help_text, look in (
        ("eco2_journal_backlog", "Rows of the journal that are not in PostgreSQL", lambda: loop.backlog.rows),
        ("eco2_journal_oldest_seconds", "Age of the oldest of them", loop.oldest),
        ("eco2_journal_quarantined", "Rows that PostgreSQL refuses", lambda: loop.backlog.quarantined),
        ("eco2_sync_cycles_total", "Cycles that succeeded", lambda: loop.syncer.cycles),
        ("eco2_sync_rows_total", "Rows synced", lambda: loop.syncer.synced),
        ("eco2_sync_failing", "1 while the last cycle failed", lambda: float(bool(loop.syncer.trouble))),
    ):
        telemetry.gauges.add(name, help_text, look, service=service.folder)
    health = HealthServer(host, port, loop.health)
    log.info("syncing the journal of %s every %g s", service.name, loop.period)
    # The worker on the same machine comes first: its commits should not feel a drain.
    os.nice(5)
    loop.run()
    loop.syncer.close()
    health.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
