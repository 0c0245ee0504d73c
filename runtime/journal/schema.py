"""What a journal's file holds, version by version. `PRAGMA user_version` says which version a file has."""

import sqlite3

# The seed's table, word for word.
SEED = """
CREATE TABLE local_tasks (
    id TEXT PRIMARY KEY, task_id TEXT UNIQUE NOT NULL, task_name TEXT NOT NULL, status TEXT NOT NULL,
    result TEXT,  -- JSON
    error TEXT, started_at TEXT NOT NULL, completed_at TEXT,
    synced_to_pg INTEGER DEFAULT 0);  -- 0: not synced, 1: synced
CREATE INDEX idx_local_not_synced ON local_tasks(synced_to_pg) WHERE synced_to_pg = 0;
CREATE INDEX idx_local_completed ON local_tasks(completed_at) WHERE completed_at IS NOT NULL;
"""
# Each entry brings a file of the version before it up to the next.
_VERSIONS = (
    SEED,
    """
    ALTER TABLE local_tasks ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE local_tasks ADD COLUMN run_id TEXT;
    ALTER TABLE local_tasks ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE local_tasks ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE local_tasks ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE local_tasks ADD COLUMN queued_at TEXT;
    ALTER TABLE local_tasks ADD COLUMN changed_at TEXT;
    ALTER TABLE local_tasks ADD COLUMN traceparent TEXT;
    ALTER TABLE local_tasks ADD COLUMN result_hash TEXT;
    ALTER TABLE local_tasks ADD COLUMN payload TEXT;
    ALTER TABLE local_tasks ADD COLUMN payload_until TEXT;  -- null with a payload column of null: there was none
    ALTER TABLE local_tasks ADD COLUMN quarantine TEXT;     -- why PostgreSQL refuses this row
    CREATE INDEX idx_local_payload ON local_tasks(payload_until) WHERE payload IS NOT NULL;
    -- Events of runs that a later run of the same task has replaced in local_tasks.
    CREATE TABLE local_events (
        id TEXT PRIMARY KEY, task_id TEXT NOT NULL, event_type TEXT NOT NULL, event_data TEXT, timestamp TEXT NOT NULL,
        synced_to_pg INTEGER NOT NULL DEFAULT 0);           -- -1: refused by PostgreSQL
    CREATE INDEX idx_events_not_synced ON local_events(synced_to_pg) WHERE synced_to_pg = 0;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    """,
)
VERSION = len(_VERSIONS)
# Runs of tasks whose row is terminal and stays so until the run ends: an operator's retry, a payload that was forgotten. Not a
# version of its own: the program before this one knows nothing of it, and may come back.
_AGAIN = """
CREATE TABLE IF NOT EXISTS local_again (
    task_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, retries INTEGER NOT NULL, interruptions INTEGER NOT NULL DEFAULT 0)
"""
# What every statement of ours relies on: a file without it is as good as damaged, whatever its version says.
_NEEDED = (
    """
    SELECT id, task_id, task_name, status, result, error, started_at, completed_at, synced_to_pg, revision, run_id, runs,
           interruptions, retries, queued_at, changed_at, traceparent, result_hash, payload, payload_until, quarantine
      FROM local_tasks LIMIT 0
    """,
    "SELECT id, task_id, event_type, event_data, timestamp, synced_to_pg FROM local_events LIMIT 0",
    "SELECT key, value FROM meta LIMIT 0",
)


class NewerFile(Exception):
    """The file was written by a newer version of this program."""


def version(db: sqlite3.Connection) -> int:
    """The file's version; 0 for one that no one has filled yet.

    Raises:
        NewerFile: this program does not know it.
    """
    found = int(db.execute("PRAGMA user_version").fetchone()[0])
    if found > VERSION:
        raise NewerFile(
            f"it was written by a newer version of this program (its format is {found}, this one knows {VERSION})"
        )
    return found


def lacks(db: sqlite3.Connection) -> str:
    """What a file of a known version lacks, in SQLite's words; empty when it has all."""
    if not version(db):
        return ""
    # The first version had the seed's table alone.
    try:
        if version(db) == 1:
            db.execute("SELECT id, task_id, task_name, status, result, error FROM local_tasks LIMIT 0")
        else:
            for query in _NEEDED:
                db.execute(query)
    except sqlite3.OperationalError as error:
        return str(error)
    return ""


def bring_up(db: sqlite3.Connection) -> int:
    """Bring the file up to this program's version, in whole steps; return which version it had."""
    before = version(db)
    for number, script in enumerate(_VERSIONS[before:], before + 1):
        db.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version={number};COMMIT;")
    db.execute(_AGAIN)
    return before
