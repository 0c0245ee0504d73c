"""PostgreSQL clusters as copies of three that were made once: to make, migrate and fill one takes fifty times as long."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

from emulator.servers.postgres import Postgres
from runtime import migrate
from tests import items

SECRETS = "secrets.json"
ITEMS = "items.json"


# Looked up now: some tests have a PATH of their own.
_CP = shutil.which("cp") or "/bin/cp"


class Clusters:
    """Three clusters that are never started: as initdb leaves it, with every role, schema and migration, with the items too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def make(folder: Path) -> None:
        """Make all in an empty folder."""
        server = Postgres(folder / "made", durable=False)
        try:
            server.state.create()
            server.prepare()
            _keep(server, folder / "fresh")
            server.start()
            migrate.prepare(server.superuser_dsn, server.state.passwords())
            migrate.apply(server.dsn("migrator"))
            server.stop()
            _keep(server, folder / "migrated")
            server.start()
            seen = asyncio.run(items.fill(server))
            server.stop()
            _keep(server, folder / "filled")
            (folder / "filled" / ITEMS).write_text(json.dumps(seen))
        finally:
            server.destroy()

    def fresh(self, state: Path) -> Postgres:
        """A server that is not started, with a superuser alone; `destroy()` removes it."""
        return self._copy("fresh", state)

    def migrated(self, state: Path) -> Postgres:
        """A server that is not started, prepared and migrated; `destroy()` removes it."""
        return self._copy("migrated", state)

    def filled(self, state: Path) -> Postgres:
        """The same, with recycle-info's items in their tables."""
        server = self._copy("filled", state)
        items.note(server, json.loads((self._folder / "filled" / ITEMS).read_text()))
        return server

    def _copy(self, name: str, state: Path) -> Postgres:
        server = Postgres(state, durable=False)
        server.state.create()
        # Other servers of the state may have passwords already.
        known = server.state.read_json(SECRETS, dict[str, str]) or {}
        server.state.write_json(SECRETS, known | json.loads((self._folder / name / SECRETS).read_text()))
        _copy_owned(self._folder / name / "cluster", server.cluster)
        return server


def _keep(stopped: Postgres, folder: Path) -> None:
    folder.mkdir()
    shutil.copy(stopped.state.path / SECRETS, folder)
    _copy_owned(stopped.cluster, folder / "cluster")


def _copy_owned(folder: Path, to: Path) -> None:
    """Copy with owners and modes: PostgreSQL runs as another user and wants its files for itself."""
    subprocess.run([_CP, "-a", str(folder), str(to)], check=True)
