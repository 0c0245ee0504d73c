"""What the operator's commands share: the database as its owner, the journals of this machine, tables on the terminal."""

import importlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from runtime import guard
from runtime.services import Service, load_services
from shared.settings import repair_dsn

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


class NotConfigured(Exception):
    """A setting is missing: the message names it."""


def _emulator(service: str | None = None) -> dict[str, str]:
    # By name: the runtime imports nothing of the emulator's, and in a pod there is none.
    try:
        running = importlib.import_module("emulator.running")
    except ModuleNotFoundError:
        return {}
    found: dict[str, str] = running.environment(service)
    return found


def owner_dsn() -> str:
    """The database's address as its owner: the environment's, or the running emulator's; empty where there is neither."""
    return os.environ.get("MIGRATION_DB_URL") or _emulator().get("MIGRATION_DB_URL", "")


def connect() -> psycopg.Connection[Any]:
    """The whole database, as its owner.

    Raises:
        NotConfigured: MIGRATION_DB_URL is not set and nothing runs here.
        psycopg.OperationalError: it is away.
        guard.Planted: a service's role has left code there that would run as the owner.
    """
    dsn = owner_dsn()
    if not dsn:
        raise NotConfigured("MIGRATION_DB_URL is not set, and nothing runs here (`eco2 up` starts it)")
    conn = psycopg.connect(repair_dsn(dsn), autocommit=True, connect_timeout=5, application_name="eco2-operator")
    try:
        guard.refuse_planted(conn)
    except guard.Planted:
        conn.close()
        raise
    return conn


@contextmanager
def writing(conn: psycopg.Connection[Any], service: Service) -> Iterator[psycopg.Connection[Any]]:
    """A transaction on a service's own tables: under its own role where its address is known here, else the owner's.

    What a service has planted on its tables then runs with that service's rights.
    """
    dsn = os.environ.get(service.database.env) or _emulator(service.folder).get(service.database.env, "")
    if dsn:
        with psycopg.connect(repair_dsn(dsn), connect_timeout=5, application_name="eco2-operator") as own:
            own.row_factory = conn.row_factory
            yield own
    else:
        with conn.transaction():
            yield conn


def owners() -> list[Service]:
    """The services that accept tasks."""
    return [service for service in load_services().values() if not service.is_worker]


def journals() -> dict[str, Path]:
    """The journals that this machine holds: JOURNAL_PATH, or those of the running emulator."""
    if path := os.environ.get("JOURNAL_PATH"):
        return {Path(path).parent.name or "journal": Path(path)} if Path(path).exists() else {}
    found: dict[str, Path] = {}
    for service in load_services().values():
        if service.is_worker:
            path = _emulator(service.folder).get("JOURNAL_PATH")
            if path:
                found |= replicas(service.folder, Path(path))
    return found


def replicas(folder: str, path: Path) -> dict[str, Path]:
    """A worker's journal and those of its replicas on this machine, which lie beside it: `ai`, `ai/2`. Those there are."""
    beside = {
        place.parent.name.replace(".", "/"): place for place in path.parent.parent.glob(f"{folder}.*/{path.name}")
    }
    return ({folder: path} if path.exists() else {}) | dict(sorted(beside.items()))


def show(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as a table for people, or as a JSON list for programs."""
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(list(rows)), indent=2).decode())
        return
    # A journal's times are text; people need no microseconds of either.
    table = [
        [str(row[c])[:19].replace("T", " ") if c.endswith("_at") and row.get(c) else _cell(row.get(c)) for c in columns]
        for row in rows
    ]
    if sys.stdout.isatty():
        table = fitting(table, columns, shutil.get_terminal_size().columns)
    widths = _widths(table, columns)
    for line in [[c.upper().replace("_", " ") for c in columns], *table]:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def fitting(table: list[list[str]], columns: Sequence[str], width: int) -> list[list[str]]:
    """The cells so that a line fits: ids by their end (their beginning is a time, and many have it), which is enough for
    `eco2 trace`; times without the date that all share, or without the year; then what is longest cut, never below 8 letters."""

    def fits() -> bool:
        return sum(_widths(table, columns)) + 2 * (len(columns) - 1) <= width

    if not fits():
        table = [[f"…{cell[-8:]}" if _ID.fullmatch(cell) else cell for cell in line] for line in table]
    if not fits():
        days = {cell[:10] for line in table for cell in line if _TIME.fullmatch(cell)}
        cut = 11 if len(days) == 1 else 5
        table = [[cell[cut:] if _TIME.fullmatch(cell) else cell for cell in line] for line in table]
    while table:
        widths = _widths(table, columns)
        over = sum(widths) + 2 * (len(columns) - 1) - width
        longest = max(range(len(columns)), key=lambda i: max(len(line[i]) for line in table))
        least = max(8, len(columns[longest]))
        most = max(len(line[longest]) for line in table)
        if over <= 0 or most <= least:
            break
        to = max(most - over, least)
        for line in table:
            if len(line[longest]) > to:
                line[longest] = f"{line[longest][: to - 1]}…"
    return table


def _widths(table: list[list[str]], columns: Sequence[str]) -> list[int]:
    return [max([len(column), *(len(line[i]) for line in table)]) for i, column in enumerate(columns)]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d %H:%M:%S"))
    return str(value)


def complain(command: str, error: Exception) -> int:
    """Say in one line why a command could not do its work; the answer is the exit code."""
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    print(f"eco2 {command}: {said}", file=sys.stderr)
    return 2 if isinstance(error, NotConfigured) else 1
