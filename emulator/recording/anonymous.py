"""A snapshot with the same rows and no personal details: a new cluster, into which every table is copied by its rule.

Not the old one with changed rows: PostgreSQL's files keep what was overwritten. Of the rest, objects are copied without metadata,
keys are new, and broker, journals and cache are left out: they hold nothing that the outboxes do not.
"""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.types.json import Jsonb

from emulator.process import StartError
from emulator.recording.photos import is_picture, without_metadata
from emulator.recording.replacing import Replacer, rule
from emulator.servers.postgres import NOBODY, Postgres
from emulator.state import manifest, snapshots, version
from emulator.state.folder import State
from functions.auth import keys
from runtime import migrate

_COLUMNS = """
SELECT n.nspname, c.relname, a.attname
  FROM pg_attribute AS a
  JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname <> ALL('{pg_catalog,information_schema,pg_toast,migrations}') AND a.attnum > 0 AND NOT a.attisdropped
   AND a.attgenerated = ''
 ORDER BY n.nspname, c.relname, a.attnum
"""
_JSONB = 3802  # its type's number


class _Table(Struct):
    """`rules` by column; None where the whole table is kept."""

    schema: str
    name: str
    columns: list[str]
    rules: dict[str, str] | None


class NoRule(StartError):
    """A column of which nobody has said what becomes of it."""


def tables(found: Mapping[tuple[str, str], list[str]]) -> list[_Table]:
    """The tables that are copied, with their rules. NoRule names the columns that have none."""
    chosen, without = [], []
    for (schema, name), columns in found.items():
        names = {f"{schema}.{name}", f"*.{name}"}
        if names & set(rule()["whole"]["dropped"]):
            continue
        if names & set(rule()["whole"]["public"]):
            chosen.append(_Table(schema, name, columns, None))
            continue
        wanted: dict[str, list[str]] = next(
            (rule()["tables"][one] for one in sorted(names, reverse=True) if one in rule()["tables"]), {}
        )
        rules = {column: kind for kind, own in wanted.items() for column in own}
        without += [f"{schema}.{name}.{column}" for column in columns if column not in rules]
        chosen.append(_Table(schema, name, columns, rules))
    if without:
        raise NoRule(f"emulator/recording/personal.toml has no rule for {', '.join(without)}: say what becomes of it")
    return chosen


def columns_of(connection: psycopg.Connection[Any]) -> dict[tuple[str, str], list[str]]:
    """The columns that hold something, by schema and table."""
    found: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in connection.execute(_COLUMNS):
        found.setdefault((schema, table), []).append(column)
    return found


def build(source: Path, old: State, new: State, replacer: Replacer, passwords: "Passwords") -> Path:
    """Make the snapshot `start` of `new` from the snapshot in `source`, with two servers for the time of it.

    Args:
        old: an empty state for the source's server; `new` has its keys already.
    """
    about = snapshots.check(source, f"the snapshot of {source.parent.name}")
    with _server(old, source / "cluster") as there, _server(new) as here:
        _copy(there, here, replacer, passwords)
        here.execute("CHECKPOINT")
    fresh = snapshots.begin(new, "start")
    snapshots.copy_tree(Postgres(new.path).cluster, fresh / "cluster")
    (fresh / "cluster" / "postmaster.pid").unlink(missing_ok=True)
    _objects(source / "objects", fresh / "objects", replacer)
    snapshots.copy_tree(new.path / "keys", fresh / "keys")
    if (source / "samples.json").exists():
        snapshots.copy_tree(source / "samples.json", fresh / "samples.json")
    made = version.mark() | {
        "name": "start",
        "at": json.loads((source / "about.json").read_text())["at"],
        "clock": about["clock"],
        "bytes": sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file()),
        "superuser": snapshots.mark(new),
    }
    manifest.write(fresh, made)
    (fresh / "about.json").write_text(json.dumps(made))
    snapshots.put(new, fresh, "start")
    return new.path / "snapshots" / "start"


@contextlib.contextmanager
def _server(state: State, cluster: Path | None = None) -> Iterator[psycopg.Connection[Any]]:
    """A PostgreSQL with every schema up to date, on a copy of a cluster or a new one; a superuser's connection to it."""
    server = Postgres(state.path)
    if cluster is not None:
        snapshots.copy_tree(cluster, server.cluster)
        if server.uid is not None:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(server.cluster)], check=True)
        server.cluster.chmod(0o700)
        server.set_superuser_password(server.cluster)
    server.start()
    try:
        migrate.prepare(server.superuser_dsn, state.passwords())
        migrate.apply(server.dsn("migrator"))
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            yield connection
    finally:
        server.stop()


def _copy(
    there: psycopg.Connection[Any], here: psycopg.Connection[Any], replacer: Replacer, passwords: "Passwords"
) -> None:
    here.execute("SET session_replication_role = replica")  # no triggers, and tables in any order
    known = there.execute("SELECT username, email FROM auth.users ORDER BY created_at").fetchall()
    for username, email in known:
        if email:
            replacer.same_person(username, email)
    passwords.learn(there)
    for table in _people_first(tables(columns_of(there))):
        name = sql.Identifier(table.schema, table.name)
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        here.execute(sql.SQL("DELETE FROM {}").format(name))  # what migrations put there
        if table.rules is None:
            _stream(there, here, name, columns)
            continue
        insert = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            name, columns, sql.SQL(", ").join(sql.Placeholder() * len(table.columns))
        )
        rows = there.execute(sql.SQL("SELECT {} FROM {}").format(columns, name))
        as_json = [column.type_code == _JSONB for column in rows.description or ()]
        made = [_row(table, row, replacer, passwords) for row in rows]
        wrapped = [[Jsonb(v) if j and v is not None else v for v, j in zip(row, as_json, strict=True)] for row in made]
        with here.cursor() as cursor:
            cursor.executemany(insert, wrapped)


def _people_first(found: list[_Table]) -> list[_Table]:
    """Names are known before texts are searched for them."""
    order = ("auth.users", "auth.identities", "users.profiles", "locations.user_locations")
    return sorted(found, key=lambda table: f"{table.schema}.{table.name}" not in order)


def _stream(
    there: psycopg.Connection[Any], here: psycopg.Connection[Any], name: sql.Composable, columns: sql.Composable
) -> None:
    out = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)").format(columns, name)
    into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(name, columns)
    with there.cursor().copy(out) as source, here.cursor().copy(into) as target:
        for block in source:
            target.write(block)


def _row(table: _Table, row: tuple[Any, ...], replacer: Replacer, passwords: "Passwords") -> list[Any]:
    found: list[Any] = []
    assert table.rules is not None
    for column, value in zip(table.columns, row, strict=True):
        kind, where = table.rules[column], f"{table.schema}.{table.name} {column}"
        if kind == "hash":
            found.append(passwords.hash_of(dict(zip(table.columns, row, strict=True))))
            replacer.counts[where, "password"] += 1
        elif kind == "random":
            found.append(replacer.value("bytes", value, where))
        elif kind == "json":
            found.append(replacer.json(value, where))
        elif kind == "kept":
            found.append(value)
        else:
            found.append(replacer.value(kind, value, where))
    return found


def _objects(source: Path, target: Path, replacer: Replacer) -> None:
    """The store's objects; photographs without metadata. A file is a line of JSON and the content (servers/s3/disk.py)."""
    shutil.copytree(source, target)
    for path in target.glob("*/objects/*/*"):
        line, _, content = path.read_bytes().partition(b"\n")
        if is_picture(content) and (clean := without_metadata(content)) != content:
            path.write_bytes(line + b"\n" + clean)
            replacer.counts["object", "photo"] += 1


class Passwords:
    """The hash that each person gets: that of what came in the place of a password that a request gives rightly."""

    def __init__(self, given: list[tuple[str, str]], replacer: Replacer) -> None:
        """`given`: names or addresses, and the passwords that came with them."""
        self._given = given
        self._replacer = replacer
        self._hashes: dict[Any, str] = {}

    def learn(self, there: psycopg.Connection[Any]) -> None:
        """Try the passwords on the accounts of these names."""
        import bcrypt

        from functions.auth.passwords import prepare

        query = "SELECT id, password_hash FROM auth.users WHERE lower(username) = lower(%s) OR lower(email) = lower(%s)"
        for name, password in self._given:
            for id_, hashed in there.execute(query, [name, name]):
                if id_ not in self._hashes and bcrypt.checkpw(prepare(password, "password"), hashed.encode()):
                    made = self._replacer.value("password", password, "request password")
                    self._hashes[id_] = bcrypt.hashpw(prepare(made, "password"), bcrypt.gensalt(12)).decode()

    def hash_of(self, user: Mapping[str, Any]) -> str:
        from functions.auth.passwords import NOBODY as NO_ONE

        return self._hashes.get(user["id"], NO_ONE)


def new_keys(state: State) -> keys.Signer:
    """Keys of a new state, and who signs with them."""
    keys.init(state.path / "keys")
    return keys.Signer(state.path / "keys" / keys.SIGNING_FILE)
