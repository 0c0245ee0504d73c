"""`eco2 new`: the working start of a function or a service, with its test."""

import argparse
import keyword
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template
from types import MappingProxyType

from runtime.services import ROOT, ServiceError, find, load_services

NAME = re.compile(r"[a-z][a-z0-9_]*")
# Below the prefix: names, and `{name:uuid}` for what differs.
PATH = re.compile(r"(/([A-Za-z0-9._~-]+|\{[a-z][a-z0-9_]*:uuid\}))+")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

HTTP = Template('''"""$sentence"""

$imports
from shared.http import CurrentUser


class $answer(Struct):
    """What the caller gets.

    Attributes:
        $described
    """

    $fields


@$method("$path"$status, summary="$sentence")
$signature
    return $answer($values)
''')
HTTP_TEST = Template('''"""$sentence"""

from tests.conftest import Person, Serve

$constants


async def test_a_stranger_is_refused(serve: Serve) -> None:
    client = await serve("$service")
    assert (await client.request("$METHOD", PATH$body)).status_code == 401


async def test_a_person_gets_an_answer(serve: Serve, person: Person) -> None:
    client = await serve("$service")
    answer = await client.request("$METHOD", PATH$body, headers=person.headers)
    assert answer.status_code == $code, answer.text
''')
QUEUE_WORKER = Template('''"""$sentence"""

from shared.messages import $message
from shared.tasks import Result, TaskFailed
from shared.triggers import queue


@queue($message)
def $name(message: $message) -> Result:
    """Do the work.

    Raises:
        TaskFailed: `empty-text`.
    """
    if not message.text:
        raise TaskFailed("empty-text", "There is no text to work on.")
    return Result(record={"length": len(message.text)})
''')
QUEUE_WORKER_TEST = Template('''"""$sentence"""

import pytest

from functions.$service.$name import $name
from shared.messages import $message
from shared.tasks import TaskFailed


def test_the_work_has_a_record() -> None:
    assert $name($message(text="병")).record == {"length": 1}


def test_what_can_not_be_done_says_why() -> None:
    with pytest.raises(TaskFailed, match="empty-text"):
        $name($message(text=""))
''')
MESSAGE = Template('''

class $message(Message, frozen=True):
    """$sentence"""

    actor: ClassVar[str] = "$service/$name"
    time_limit: ClassVar[int] = 60_000
    text: str
''')
QUEUE_API = Template('''"""$sentence"""

from functions.$service.messages import $message
from shared.messages import Outcome
from shared.parts import Db
from shared.tasks import settle
from shared.triggers import queue


@queue($message)
async def $name(outcome: Outcome, db: Db) -> None:
    async with db.transaction() as conn:
        await settle(conn, outcome)  # False: it came a second time
''')
OUTCOME = Template('''

class $message(Outcome, frozen=True):
    """$sentence"""

    actor: ClassVar[str] = "$service/$name"
''')
MESSAGES = Template('''"""The outcomes that $service takes of its tasks."""

from typing import ClassVar

from shared.messages import Outcome
''')
QUEUE_API_TEST = Template('''"""$sentence"""

from collections.abc import Awaitable, Callable

from functions.$service.$name import $name
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.messages import Outcome


async def test_an_outcome_may_come_twice(db: Callable[[str], Awaitable[Database]]) -> None:
    database = await db("$service")
    outcome = Outcome(new_id(), new_id(), new_id(), "success", clock.now())
    for _ in range(2):
        await $name(outcome, database)
''')
SCHEDULE = Template('''"""$sentence"""

from shared.parts import Db
from shared.triggers import schedule


@schedule(every=$every)
async def $name(db: Db) -> None:
    async with db.connection() as conn:
        await conn.execute("SELECT 1")  # put SQL into db.py
''')
SCHEDULE_TEST = Template('''"""$sentence"""

from collections.abc import Awaitable, Callable

from functions.$service.$name import $name
from shared.db import Database


async def test_it_may_run_twice(db: Callable[[str], Awaitable[Database]]) -> None:
    database = await db("$service")
    await $name(database)
    await $name(database)
''')
COMMAND = Template('''"""$sentence"""

from shared.triggers import command


@command("$command")
async def $name(words: list[str]) -> int:
    """Take the words of the command line; return the exit code: 2 for a wrong call."""
    if len(words) != 1:
        return 2
    return 0
''')
COMMAND_TEST = Template('''"""$sentence"""

from functions.$service.$name import $name


async def test_without_a_file_it_is_called_wrongly() -> None:
    assert await $name([]) == 2
''')
SERVICE = Template("""name = "api-$dashed"
prefix = "/api/v1/$dashed"
uses = ["postgres", "broker"]
database = {schema = "$folder", role = "api_${folder}_role", env = "API_${FOLDER}_DB_URL", pool = 4}
run = {replicas = 2, cpu = "150m", memory = "256Mi", node = "$dashed", grace = "30s"}
""")
DB = Template('''"""The $folder schema in SQL."""

from shared.db import Connection


async def select_now(conn: Connection) -> bool:
    cursor = await conn.execute("SELECT true")
    row = await cursor.fetchone()
    return bool(row and row[0])
''')

EXAMPLES = """\
eco2 new function waste/rename_analysis --http "PATCH /analyses/{analysis_id:uuid}/name"  # a route
eco2 new function storage/count_colours --queue  # a task for a worker
eco2 new function waste/sweep_drafts --schedule 3600  # every hour
eco2 new function location/import_shops --command shops  # for `eco2 import shops`
eco2 new service weather  # a service of its own
"""

_NEXT = {
    "http": "Next: its row in tests/contract/table.py, then `make test`.",
    "worker": "Next: an `enqueue` of its message in an API service, then `make test`.",
    "outcome": "Next: `reply=` its class in the `enqueue` whose outcome it takes, then `make test`.",
}


def configure(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="function|service")
    function = kinds.add_parser("function", help="one file with one trigger, and its test")
    function.add_argument("target", metavar="SERVICE/NAME", help="such as waste/rename_analysis")
    trigger = function.add_mutually_exclusive_group()
    trigger.add_argument("--http", metavar='"METHOD /path"', help='its route below the prefix (default: "GET /NAME")')
    trigger.add_argument("--queue", action="store_true", help="a function that a queue calls")
    trigger.add_argument("--schedule", metavar="SECONDS", type=int, help="a function that is called so often")
    trigger.add_argument("--command", metavar="NAME", help="what `eco2 import NAME` runs")
    service = kinds.add_parser("service", help="a folder with service.toml, a migration, a function, and its test")
    service.add_argument("name", metavar="NAME", help="such as weather")


def main(args: argparse.Namespace) -> int:
    try:
        return _service(args.name) if args.kind == "service" else _function(args)
    except (ServiceError, ValueError) as error:
        print(f"eco2 new: {error}", file=sys.stderr)
        return 2


def _function(args: argparse.Namespace) -> int:
    folder, _, name = args.target.partition("/")
    if not _usable(name):
        raise ValueError(
            f"name it SERVICE/NAME, NAME in lower case with underscores, no word of Python's own: {args.target}"
        )
    service = find(folder)
    words = {"service": service.folder, "name": name, "sentence": f"{name.replace('_', ' ').capitalize()}."}
    words["message"] = _camel(name)
    into: dict[Path, str] = {}
    if args.queue and service.is_worker:
        code, test = QUEUE_WORKER, QUEUE_WORKER_TEST
        into[ROOT / "shared" / "messages.py"] = MESSAGE.substitute(words)
    elif args.queue:
        code, test = QUEUE_API, QUEUE_API_TEST
        messages = service.path / "messages.py"
        into[messages] = ("" if messages.exists() else MESSAGES.substitute(words)) + OUTCOME.substitute(words)
    elif service.is_worker:
        raise ValueError(f"{service.name} is a worker: it has queue functions only (--queue)")
    elif args.schedule is not None:
        if args.schedule < 1:
            raise ValueError(f"--schedule takes a number of seconds, at least 1, not {args.schedule}")
        code, test, words["every"] = SCHEDULE, SCHEDULE_TEST, str(args.schedule)
    elif args.command is not None:
        if not re.fullmatch(r"[a-z][a-z0-9-]*", args.command):
            raise ValueError(f"--command takes a name in lower case, such as shops, not {args.command!r}")
        code, test, words["command"] = COMMAND, COMMAND_TEST, args.command
    else:
        code, test = HTTP, HTTP_TEST
        route = f"GET /{name.replace('_', '-')}" if args.http is None else args.http
        words |= _route(route, service.prefix, name)
    return _write(
        {
            service.path / f"{name}.py": code.substitute(words),
            ROOT / "tests" / service.folder / f"test_{name}.py": test.substitute(words),
        },
        _NEXT.get({HTTP: "http", QUEUE_WORKER: "worker", QUEUE_API: "outcome"}.get(code, ""), "Next: `make test`."),
        into,
    )


def _route(route: str, prefix: str, name: str) -> dict[str, str]:
    method, _, path = route.partition(" ")
    if method.upper() not in METHODS or not PATH.fullmatch(path):
        raise ValueError(f'--http takes a method and a path, such as "POST /things/{{thing_id:uuid}}", not {route!r}')
    method = method.upper()
    ids = re.findall(r"\{(\w+):uuid\}", path)
    for found in ids:
        if not _usable(found) or found in ("user", "data") or ids.count(found) > 1:
            raise ValueError(f"{{{found}:uuid}} becomes a parameter of the function: give it a name of its own")
    parameters = [f"{found}: FromPath[UUID]" for found in ids] + ["user: CurrentUser"]
    # A body comes with POST, PUT and PATCH: the request's Struct is the answer's until it differs.
    answer = f"{_camel(name)}Answer"
    has_body = method in ("POST", "PUT", "PATCH")
    if has_body:
        parameters.insert(len(ids), f"data: JSONBody[{answer}]")
    imports = []
    if ids:
        imports.append("from uuid import UUID\n")
    imports.append(f"from litestar import {method.lower()}")
    needed = [word for word, used in (("FromPath", bool(ids)), ("JSONBody", has_body)) if used]
    if needed:
        imports.append(f"from litestar.params import {', '.join(needed)}")
    imports.append("from msgspec import Struct\n")
    url = prefix + re.sub(r"\{\w+:uuid\}", "{ID}", path)
    constants = f'ID = "01a20000-0000-7000-8000-000000000000"\nPATH = f"{url}"' if ids else f'PATH = "{url}"'
    status = ", status_code=200" if method in ("POST", "DELETE") else ""
    return {
        "METHOD": method,
        "method": method.lower(),
        "path": path,
        "status": status,
        "imports": "\n".join(imports),
        "signature": _signature(name, parameters, answer),
        "answer": answer,
        "described": "text: what was sent." if has_body else "person: whose token it is.",
        "fields": "text: str" if has_body else "person: str",
        "values": "data.text" if has_body else "str(user.id)",
        "constants": constants,
        "body": ', json={"text": "병"}' if has_body else "",
        "code": "200",
    }


def _usable(name: str) -> bool:
    """Whether a module, and what is in it, can have this name: a word of Python's own can't be imported."""
    return NAME.fullmatch(name) is not None and not keyword.iskeyword(name)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _signature(name: str, parameters: list[str], answer: str) -> str:
    """As ruff wraps it at the house's 120 columns."""
    line = ", ".join(parameters)
    if len(whole := f"async def {name}({line}) -> {answer}:") <= 120:
        return whole
    inside = f"    {line}" if len(line) <= 116 else "\n".join(f"    {one}," for one in parameters)
    return f"async def {name}(\n{inside}\n) -> {answer}:"


def _service(name: str) -> int:
    folder = name.replace("-", "_")
    if not _usable(folder):
        raise ValueError(f"a service's name is in lower case, no word of Python's own: {name}")
    if folder in load_services():
        raise ValueError(f"there is a service {folder} already")
    words = {"folder": folder, "dashed": folder.replace("_", "-"), "FOLDER": folder.upper()}
    path = ROOT / "functions" / folder
    route = _route("GET /hello", f"/api/v1/{words['dashed']}", "hello")
    hello = {"service": folder, "name": "hello", "sentence": "Says hello to the person."} | route
    return _write(
        {
            path / "__init__.py": "",
            path / "service.toml": SERVICE.substitute(words),
            path / "db.py": DB.substitute(words),
            path
            / "migrations"
            / "0001_seed.sql": f"CREATE TABLE {folder}.notes (id UUID PRIMARY KEY, text TEXT NOT NULL);\n",
            path / "hello.py": HTTP.substitute(hello),
            ROOT / "tests" / folder / "test_hello.py": HTTP_TEST.substitute(hello),
        },
        "A running system takes it up by itself.\n"
        "Next: a node for it in k8s/nodes.yaml, its name in README.md, `eco2 render`, `make test`.",
    )


def _write(files: dict[Path, str], then: str = "", into: Mapping[Path, str] = MappingProxyType({})) -> int:
    """Write new files, and add to the end of those in `into`."""
    taken = [path for path in files if path.exists()]
    if taken:
        raise ValueError(f"{taken[0].relative_to(ROOT)} exists already: nothing was written")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))
    for path, text in into.items():
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
        print(path.relative_to(ROOT))
    if then:
        print(then)
    return 0
