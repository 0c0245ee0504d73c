"""A rolling deploy: the version before runs on the new schema while the new one starts: no migration takes anything from it."""

import ast
import re
import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from emulator.servers.postgres import Postgres
from runtime.migrate import AFTER
from runtime.services import ROOT, Service, load_services

# The last commit of 0.1.0, and how many migrations it had in each folder.
BEFORE = "67fe735"
KNOWN = {
    "functions/auth": 2,
    "functions/chat_llm": 2,
    "functions/location": 6,
    "functions/recycle_info": 4,
    "functions/userinfo": 2,
    "functions/waste": 2,
    "runtime/public": 1,
    "runtime/service": 2,
    "runtime/tasks": 2,
}
# Each breaks code that reads or writes the table as it was.
TAKES = {
    r"DROP\s+(?:TABLE|SCHEMA|VIEW|TYPE|COLUMN)": "something that the code before uses is gone",
    r"RENAME\s": "the code before knows the old name",
    r"ALTER\s+COLUMN\s+\S+\s+(?:SET\s+NOT\s+NULL|(?:SET\s+DATA\s+)?TYPE|DROP\s+DEFAULT)": "the code before writes it as it was",
    r"ADD\s+COLUMN\s+(?![^,;]*(?:DEFAULT|GENERATED))[^,;]*NOT\s+NULL": "the code before leaves it out: give it a default",
    r"ADD\s+(?:CONSTRAINT|CHECK|UNIQUE|PRIMARY|FOREIGN|EXCLUDE)": "the code before may write what this refuses",
    r"REVOKE\s": "the code before may need it",
}
SQL = re.compile(r"^\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s)", re.S)
# What tells that the schema has lost what a statement needs: a column, a table, a function, a right, a key of ON CONFLICT.
LOST = ("42703", "42P01", "42883", "42501", "42P10")


def group(path: str) -> str:
    parts = path.split("/")
    return f"functions/{parts[1]}" if parts[0] == "functions" else f"runtime/{parts[2]}"


def migrations() -> list[str]:
    """Those that came after 0.1.0, without those that are applied when its code is gone."""
    found: dict[str, list[str]] = {}
    for path in [*ROOT.glob("functions/*/migrations/*.sql"), *ROOT.glob("runtime/migrations/*/*.sql")]:
        name = path.relative_to(ROOT).as_posix()
        found.setdefault(group(name), []).append(name)
    assert found.keys() >= KNOWN.keys()
    new = [name for of, names in found.items() for name in sorted(names)[KNOWN.get(of, 0) :]]
    return [name for name in new if not name.endswith(AFTER)]


def taken(text: str) -> list[str]:
    """What a migration takes from the code before it: comments and functions' bodies take nothing, new tables are new."""
    text = re.sub(r"\$\$.*?\$\$", "", re.sub(r"--[^\n]*", "", text), flags=re.S)
    made = set(re.findall(r"CREATE\s+TABLE\s+(\S+)", text, re.I))
    found = []
    for statement in text.split(";"):
        on = re.search(r"UNIQUE\s+INDEX\s+\S+\s+ON\s+(\S+)", statement, re.I)
        if on and on[1] not in made:
            found.append("a unique index: the code before may write what this refuses")
        altered = re.search(r"ALTER\s+TABLE\s+(\S+)", statement, re.I)
        if not (altered and altered[1] in made):
            found += [why for pattern, why in TAKES.items() if re.search(pattern, statement, re.I)]
    return found


@pytest.mark.parametrize("name", migrations())
def test_a_migration_takes_nothing_from_the_code_before_it(name: str) -> None:
    assert taken((ROOT / name).read_text(encoding="utf-8")) == [], f"what must go goes in a file *{AFTER}"


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE a.b DROP COLUMN c",
        "ALTER TABLE a.b RENAME COLUMN c TO d",
        "ALTER TABLE a.b ALTER COLUMN c SET NOT NULL",
        "ALTER TABLE a.b ALTER COLUMN c TYPE BIGINT",
        "ALTER TABLE a.b ADD COLUMN d TEXT, ADD COLUMN c TEXT NOT NULL",
        "ALTER TABLE a.b ADD CHECK (c > 0)",
        "CREATE UNIQUE INDEX i ON a.b (c)",
        "DROP TABLE a.b",
        "REVOKE SELECT ON a.b FROM c",
    ],
)
def test_what_a_migration_may_not_take_is_seen(text: str) -> None:
    assert taken(text)
    assert not taken(f"-- {text}")


def test_what_only_adds_takes_nothing() -> None:
    assert not taken("ALTER TABLE a.b ADD COLUMN c TEXT, ADD COLUMN d INTEGER NOT NULL DEFAULT 0")
    assert not taken("CREATE TABLE a.n (c TEXT NOT NULL); CREATE UNIQUE INDEX i ON a.n (c); DROP TRIGGER t ON a.b")


def source(path: str) -> str:
    """A file of 0.1.0."""
    shown = subprocess.run(["git", "show", f"{BEFORE}:{path}"], cwd=ROOT, capture_output=True, check=False)
    if shown.returncode:
        pytest.skip("this checkout has no history back to 0.1.0")
    return shown.stdout.decode()


def statements(path: str) -> Iterator[str]:
    """The whole statements of a file, with `$1` where a value goes."""
    tree = ast.parse(source(path))
    pieces = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if id(node) not in pieces and SQL.match(text) and not re.search(r"(?<!')\{\w*\}", text):
            numbers: dict[str, int] = {}

            def place(found: re.Match[str], numbers: dict[str, int] = numbers) -> str:
                return f"${numbers.setdefault(found[1] or f'%{len(numbers)}', len(numbers) + 1)}"

            yield re.sub(r"%(?:\((\w+)\))?s", place, text).replace("%%", "%")


@pytest.mark.parametrize("service", [one for one in load_services().values() if one.prefix], ids=lambda one: one.folder)
def test_statements_of_the_version_before_are_planned_on_the_schema_of_today(
    service: Service, postgres: Postgres
) -> None:
    """Under the service's own role, with its rights; values without a type are what cannot always be told."""
    planned, unknown, lost = 0, 0, []
    with psycopg.connect(
        postgres.dsn(service.database.role, search_path=service.database.schema), autocommit=True
    ) as conn:
        for path in (
            f"functions/{service.folder}/db.py",
            "shared/tasks.py",
            "shared/idempotency.py",
            "runtime/relay.py",
        ):
            for statement in statements(path):
                try:
                    conn.execute(f"EXPLAIN (GENERIC_PLAN) {statement}".encode())
                    planned += 1
                except psycopg.Error as error:
                    if error.sqlstate in LOST:
                        lost.append(f"{path}: {error.diag.message_primary}: {' '.join(statement.split())[:120]}")
                    unknown += 1
    assert lost == []
    assert planned > 3 * unknown, "most can be told"
