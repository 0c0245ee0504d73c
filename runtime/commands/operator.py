"""What the operator's commands share: the database as its owner, and the journals of this machine."""

import argparse
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from runtime import guard
from runtime.services import Service, load_services
from shared.settings import repair_dsn

MOST = 10_000
"""Largest number of rows or days that a command takes."""


class NotConfigured(Exception):
    """A setting is missing: the message names it."""


class Unknown(Exception):
    """What was asked for is not there, or not one thing: the message says it."""


def _emulator(service: str | None = None) -> dict[str, str]:
    # By name: the runtime imports nothing of the emulator's, and in a pod there is none.
    try:
        running = importlib.import_module("emulator.running")
    except ModuleNotFoundError:
        return {}
    found: dict[str, str] = running.environment(service)
    return found


def number(text: str) -> int:
    """A count or a number of days that a person types, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is none, or not from 1 to 10000.
    """
    if text.isdecimal() and 1 <= int(text[:6]) <= MOST:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST}")


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


def complain(command: str, error: Exception) -> int:
    """Say in one line why a command could not do its work; the answer is the exit code."""
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    print(f"eco2 {command}: {said}", file=sys.stderr)
    return 2 if isinstance(error, NotConfigured) else 1
