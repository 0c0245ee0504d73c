"""The rules that no linter knows, each with its reason. Import rules are in pyproject.toml (import-linter)."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.loader import discover
from runtime.services import ROOT, Service, load_services

SOURCES = [
    path for folder in ("functions", "shared", "runtime", "emulator", "k8s") for path in (ROOT / folder).rglob("*.py")
]
TESTS = list((ROOT / "tests").rglob("*.py"))
SERVICES = load_services()
# `SELECT … FROM`, `INSERT INTO`, `UPDATE … SET`, `DELETE FROM` at the beginning of a string.
SQL = re.compile(
    r"^\s*(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s.+\sAS\s*\()", re.S
)
SQL_ALLOWED = {
    "shared/tasks.py",
    "shared/idempotency.py",
    # Two services take photographs; their one-time keys are the same table in two schemas.
    "shared/uploads.py",
    # The modules of the runtime that own a store: the outbox, the journal and its copies in `tasks`, roles and rights.
    "runtime/delivery/outbox.py",
    *(f"runtime/journal/{name}.py" for name in ("file", "reader", "records", "schema", "server", "states")),
    *("runtime/migrate.py", "runtime/guard.py"),
    # Operators' commands, each about the tables that it names to the operator.
    *(
        f"runtime/commands/{name}.py"
        for name in ("ai", "function", "journal", "task_details", "task_reader", "task_sender", "tasks")
    ),
    # The database of one's own before it is used; any table as its service's role sees it.
    "emulator/existing.py",
    *("emulator/dashboard/pages/data.py", "emulator/dashboard/catalog.py", "emulator/dashboard/table.py"),
    # Who holds the lock that a statement waits for, asked of PostgreSQL itself.
    "emulator/dashboard/locks.py",
    # Every table by its rule, for a recording without personal details; what all outboxes still hold.
    *("emulator/recording/anonymous.py", "emulator/recording/work.py"),
    # Roles, dumps and restores of a whole cluster.
    *("k8s/programs/database_roles.py", "k8s/tools/backup.py", "k8s/tools/journals.py", "k8s/tools/restore.py"),
}
CATCHES_ALL = re.compile(r"except Exception\b[^#]*(?:#\s+noqa: BLE001\b)?")
# As ruff and mypy read them: a comment, at whose end the reason is.
SILENCE = re.compile(
    r"#\s*(?:noqa(?::\s*[A-Z]+[0-9]+(?:[,\s]\s*[A-Z]+[0-9]+)*)?|type:\s*ignore(?:\[[a-z, -]+\])?)(?![\w:`\[|])", re.I
)
PROVIDED = {
    "db": "Db",
    "user": "CurrentUser",
    "maybe_user": "MaybeUser",
    "idempotency": "Idem",
    "conditions": "Conditional",
    "page": "PageQuery",
    "broker": "Broker",
    "cache": "Cache",
    "objects": "Objects",
    "calls": "Calls",
    "hub": "ProgressHub",
    "settings": "Settings",
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def lines(paths: list[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield f"{name(path)}:{number}", line


def words_of(reason: str) -> int:
    return len(re.findall(r"[\w'`.]*\w[\w'`.]*", reason))


def silences_without_a_reason(line: str) -> bool:
    silences = list(SILENCE.finditer(line))
    return bool(silences) and words_of(line[silences[-1].end() :]) < 2


@functools.cache
def parsed() -> list[tuple[str, ast.Module]]:
    """Each file with its tree, for all of these tests."""
    return [(name(path), ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES]


def names_of(tree: ast.Module) -> set[str]:
    """What a module has: what is written at its top level, under a condition too."""
    names: set[str] = {"__name__", "__doc__", "__file__", "__dict__"}
    bodies: list[ast.stmt] = list(tree.body)
    while bodies:
        node = bodies.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        else:
            names |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            bodies += [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt)]
    return names


@pytest.fixture(scope="module", autouse=True)
def no_trees_are_left() -> Iterator[None]:
    yield
    parsed.cache_clear()  # each collection of garbage after these tests would walk them


def test_sql_stands_where_a_reader_looks_for_it() -> None:
    found = [
        f"{file}:{node.lineno}"
        for file, tree in parsed()
        if not (file.startswith("functions/") and file.endswith("/db.py")) and file not in SQL_ALLOWED
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
    assert found == []


def test_the_exceptions_to_the_wall_still_have_sql() -> None:
    with_sql = {
        file
        for file, tree in parsed()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    }
    assert SQL_ALLOWED - with_sql == set()


def test_sql_over_more_than_a_line_is_an_aligned_block() -> None:
    """A statement glued together from literals can't be read, nor pasted into psql."""
    found = []
    for file, tree in parsed():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value):
                text = ast.get_source_segment((ROOT / file).read_text(encoding="utf-8"), node) or ""
                if node.lineno != node.end_lineno and '"""' not in text:
                    found.append(f"{file}:{node.lineno}")
    assert found == []


def test_only_the_outermost_loops_catch_everything() -> None:
    """Each that is allowed says why on its line. (`except BaseException` cleans up and raises: ruff's BLE001 sees to it.)"""
    found = [
        f"{place}: {line.strip()}"
        for place, line in lines(SOURCES)
        if CATCHES_ALL.search(line) and words_of(CATCHES_ALL.split(line, maxsplit=1)[1]) < 3
    ]
    assert found == []


# Tasks and threads that are not kept by shared/supervision.py, because they have an end that somebody waits for.
WITH_AN_END = {
    "emulator/commands/exec.py": "ends with the command",
    "emulator/commands/up.py": "the terminal's, ends with it",
    "emulator/dashboard/locks.py": "ends when no statement waits",
    "emulator/deferred.py": "makes one application, waited for by whoever asks for it",
    "emulator/forks.py": "a child's last seconds",
    "emulator/keeper.py": "races of an end and an answer, inside a kept loop",
    "emulator/launcher.py": "the same",
    "emulator/network/connection.py": "one request's body, ended with its answer",
    "emulator/network/forward.py": "one request's two directions",
    "emulator/network/road.py": "one connection's beginning, and its pieces under a fault",
    "emulator/recording/sending.py": "one request, waited for at the end of the replay",
    "emulator/standstill.py": "waited for in the same step",
    "emulator/supervisor.py": "the end of the process itself",
    "k8s/programs/lock.py": "renews a lease for the time of one command",
    "runtime/http/admission.py": "whether one client is still there",
    "runtime/journal/server.py": "one client's connection",
    "shared/silence.py": "one look, made anew by a timer",
    "shared/units.py": "ends when no unit waits; whoever waits for one is told of its end",
}
_STARTS = re.compile(r"(?:asyncio\.create_task|asyncio\.ensure_future|threading\.Thread)\(")


def test_what_should_live_for_ever_is_started_by_the_one_helper() -> None:
    found = {str(path.relative_to(ROOT)) for path in SOURCES if _STARTS.search(path.read_text(encoding="utf-8"))} - {
        "shared/supervision.py"
    }
    assert found == set(WITH_AN_END), "keep it by shared.supervision, or say here what its end is"


def test_what_silences_a_linter_says_why() -> None:
    """`# noqa: S603 - why`, `# type: ignore[misc]  # why`: without the reason no one dares to take it away again."""
    found = [f"{place}: {line.strip()}" for place, line in lines(SOURCES + TESTS) if silences_without_a_reason(line)]
    assert found == []


@pytest.mark.parametrize(
    "silence", ["noqa", "noqa: S603", "noqa:S603,S607", "type: ignore", "type: ignore[misc, arg-type]"]
)
def test_a_silence_needs_a_reason_of_two_words(silence: str) -> None:
    for nothing in ("", " -", " - why", "  #", "  # misc", " (macOS)"):
        assert silences_without_a_reason(f"x = 1  # {silence}{nothing}")
    for reason in (" - our own", "  # a number here"):
        assert not silences_without_a_reason(f"x = 1  # {silence}{reason}")


def test_injected_parameters_are_marked() -> None:
    """An unmarked one becomes a query parameter where its provider is missing: a caller could then name any user."""
    found = []
    for service in SERVICES.values():
        for function in discover(service):
            if function.trigger != "http":
                continue
            tree = ast.parse((ROOT / function.file).read_text(encoding="utf-8"))
            [handler] = [
                n
                for n in tree.body
                if isinstance(n, ast.AsyncFunctionDef | ast.FunctionDef) and n.name == function.name
            ]
            for argument in handler.args.args + handler.args.kwonlyargs:
                wanted = PROVIDED.get(argument.arg)
                written = ast.unparse(argument.annotation) if argument.annotation else ""
                if wanted and written.rpartition(".")[2] != wanted:
                    found.append(f"{function.file}: {argument.arg}: {written} should be {wanted}")
    assert found == []


def test_time_comes_from_the_clock() -> None:
    """The emulator and the fault suite move the clock; whoever asks the machine does not notice."""
    calls = {"datetime.now", "datetime.utcnow", "time.time", "_time.time", "datetime.datetime.now", "date.today"}
    found = [
        f"{file}:{node.lineno}"
        for file, tree in parsed()
        if file.startswith(("functions/", "shared/", "runtime/")) and file != "shared/clock.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in calls
    ]
    assert found == []


def test_no_time_is_told_in_the_machine_s_own_zone() -> None:
    """A pod's is UTC, a developer's is not. The emulator tells a person the time, and it alone."""
    found = [
        f"{file}:{node.lineno}"
        for file, tree in parsed()
        if not file.startswith("emulator/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("localtime", "mktime") or (node.func.attr == "astimezone" and not node.args)
    ]
    assert found == []


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.folder)
def test_a_service_has_one_trigger_a_file_and_workers_have_queues_only(service: Service) -> None:
    functions = discover(service)
    assert functions
    if service.is_worker:
        assert {function.trigger for function in functions} == {"queue"}


def test_no_relative_imports_and_no_index_host_and_no_path_of_a_machine() -> None:
    hosts = ("py" + "pi.org", "python" + "hosted.org", "registry." + "npmjs.org", "deb." + "debian.org")
    found = []
    not_ours = (".venv", ".git", ".eco2", ".mypy", ".ruff", ".pytest", ".hypo", "build")
    tops = [top for top in ROOT.iterdir() if not top.name.startswith(not_ours)]
    for path in (path for top in tops for path in (top, *top.rglob("*")) if path.is_file()):
        parts = path.relative_to(ROOT).parts
        if "node_modules" in parts or "__pycache__" in parts or path.suffix in {".png", ".jpg", ".webp", ".onnx"}:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [f"{name(path)}: {word}" for word in (*hosts, "/root" + "/", "/work" + "/main") if word in text]
    assert found == []


def test_what_a_program_beside_the_tests_names_of_ours_is_there() -> None:
    """Mypy reads the product; the benchmarks and their like run once in a while, long after a name has moved."""
    ours = {name(path).removesuffix(".py").replace("/", "."): path for path in (*SOURCES, *TESTS)}
    known: dict[str, set[str]] = {}
    found = []

    def has(module: str, attribute: str) -> bool:
        if module not in ours or f"{module}.{attribute}" in ours:
            return True
        if module not in known:
            known[module] = names_of(ast.parse(ours[module].read_text(encoding="utf-8")))
        return attribute in known[module]

    for path in (path for path in TESTS if not path.name.startswith("test_")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        imports = [
            (node.lineno, node.module or "", alias)
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        used = {(line, module, alias.name) for line, module, alias in imports}
        modules = {alias.asname or alias.name: f"{module}.{alias.name}" for _, module, alias in imports}
        for node in nodes:
            if isinstance(node, ast.arg):
                modules.pop(node.arg, None)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                modules.pop(node.id, None)
        used |= {
            (node.lineno, modules[node.value.id], node.attr)
            for node in nodes
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
        }
        found += [f"{name(path)}:{line}: {module}.{word}" for line, module, word in used if not has(module, word)]
    assert found == []
