"""Copies a worker's journal to S3, every hour, from beside the worker (`python -m k8s.tools.journals storage`).

SQLite's online backup reads a consistent state while the worker writes. What a person wrote or was answered (the payload) is
taken out of the copy before it leaves: it is for the owner alone, and for a day.

    s3://BACKUP_BUCKET/journals/worker-storage-0/20260102T030000Z.db.gz
"""

import argparse
import contextlib
import gzip
import logging
import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from k8s.tools.backup import STAMP
from k8s.tools.store import JOURNALS, BackupError, Bucket, bucket
from runtime import telemetry
from runtime.health import HealthServer
from shared import clock

log = logging.getLogger("eco2.journals")

PERIOD = 3600.0
KEPT = 48


def copy(journal: Path, target: Path) -> None:
    """Copy a journal without its payloads.

    Raises:
        BackupError: it can't be read, or the copy is not sound.
    """
    try:
        # Read-only: a connection that may write would checkpoint when it closes, beside the worker's and the syncer's.
        with (
            contextlib.closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=10)) as source,
            contextlib.closing(sqlite3.connect(target)) as out,
        ):
            source.backup(out, pages=1000)
            out.execute("PRAGMA journal_mode = DELETE")
            columns = {row[1] for row in out.execute("PRAGMA table_info(local_tasks)")}
            if "payload" in columns:
                out.execute("UPDATE local_tasks SET payload = NULL WHERE payload IS NOT NULL")
                out.commit()
                # The pages that held them, too.
                out.execute("VACUUM")
            (found,) = out.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"the journal {journal} can't be copied: {error}") from error
    if found != "ok":
        raise BackupError(f"the copy of {journal} is damaged: {found}")


def store(journal: Path, target: Bucket, name: str) -> str:
    """Copy a journal to the bucket and delete copies beyond the newest 48; return the key.

    Raises:
        BackupError: see `copy`, or the copy did not arrive whole.
    """
    key = f"{JOURNALS}{name}/{clock.now():{STAMP}}.db.gz"
    with tempfile.TemporaryDirectory(prefix="eco2-journal-") as folder:
        plain, packed = Path(folder) / "journal", Path(folder) / "journal.gz"
        copy(journal, plain)
        with plain.open("rb") as source, gzip.open(packed, "wb") as out:
            shutil.copyfileobj(source, out)
        target.upload(packed, key, {})
    for old in target.keys(f"{JOURNALS}{name}/")[:-KEPT]:
        target.delete(old)
    return key


class Loop:
    """A copy each period. A failed one is tried again after a minute; the worker never waits for it."""

    def __init__(self, journal: Path, target: Bucket, name: str) -> None:
        self._journal, self._target, self._name = journal, target, name
        self.last = clock.time()
        self.trouble = ""
        self.told = threading.Event()

    def run(self) -> None:
        """Until `told` is set."""
        from botocore.exceptions import BotoCoreError, ClientError

        while not clock.wait(self.told, 60 if self.trouble else PERIOD):
            if not self._journal.exists():
                continue
            try:
                log.info("copied to %s", store(self._journal, self._target, self._name))
            except (BackupError, BotoCoreError, ClientError, OSError) as error:
                self.trouble = str(error)
                log.error("the journal was not copied: %s", error)
            else:
                self.trouble = ""
                self.last = clock.time()

    def look(self) -> dict[str, Any]:
        """The body of /healthz and /readyz: a store that is away does not justify restarting or draining anything."""
        return {"alive": True, "ready": True, "reasons": [self.trouble] if self.trouble else []}


def main(words: list[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Copy until SIGTERM; the exit code is 2 for a missing setting."""
    parser = argparse.ArgumentParser(prog="python -m k8s.tools.journals", description="Copy a worker's journal to S3.")
    parser.add_argument("service", help="storage or ai")
    parser.add_argument("--once", action="store_true", help="one copy, then end")
    args = parser.parse_args(words)
    telemetry.configure(f"journals-{args.service}", "text" if environ.get("LOG_FORMAT") == "text" else "json", "info")
    try:
        if not environ.get("JOURNAL_PATH"):
            raise BackupError("JOURNAL_PATH is not set: the worker's journal")
        journal, target = Path(environ["JOURNAL_PATH"]), bucket(environ)
        if args.once:
            print(f"s3://{target.name}/{store(journal, target, socket.gethostname())}")
            return 0
    except BackupError as error:
        print(f"journals: {error}", file=sys.stderr)
        return 2
    loop = Loop(journal, target, socket.gethostname())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.told.set())
    telemetry.gauges.add(
        "eco2_journal_copy_age_seconds",
        "Time since the journal was copied to the object store",
        lambda: clock.time() - loop.last,
        service=args.service,
    )
    health = HealthServer(environ.get("HOST", "127.0.0.1"), int(environ.get("HEALTH_PORT", "0")), loop.look)
    loop.run()
    health.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
