"""Every number by which something is limited, kept, waited for or repeated is in limits.toml too.

Tests make limits small to reach them, so that one which is half or twice as much by mistake passes them all. Whoever means to
change a number changes it in both places, and that is the moment to look for the documents that name it. Numbers that only
measures tell right from wrong (the search's, the assistant's, the classifier's) are `make eval`'s.
"""

import ast
import importlib
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runtime.services import ROOT

WRITTEN = tomllib.loads((Path(__file__).parent / "limits.toml").read_text(encoding="utf-8"))
SERVICES = ("auth", "chat_llm", "location", "storage", "userinfo", "waste")
FOLDERS = (
    *("shared", "runtime", "runtime/delivery", "runtime/http", "runtime/journal"),
    *(f"functions/{name}" for name in SERVICES),
)
# Of services whose numbers are evaluated, what costs money, memory or time.
FILES = (
    *(f"functions/ai/{name}.py" for name in ("messages", "cache", "classify_photo", "answer_question", "openai_chat")),
    *(f"functions/ai/{name}.py" for name in ("openai_photos", "openai_questions")),
    *(f"functions/recycle_info/{name}.py" for name in ("import_items", "search", "sweep_queries")),
)
# How long a thing may take or rest, said where it is marked and not as a constant.
MARKED = {"every", "time_limit"}


def plain(value: Any) -> Any:
    """A number, or numbers; a span of time in seconds. None for anything else."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, tuple):
        found = [plain(one) for one in value]
        return found if found and None not in found else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def constants(tree: ast.Module, module: Any) -> Iterator[tuple[str, Any]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets = [
                one for target in node.targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])
            ]
            for one in targets:
                if isinstance(one, ast.Name) and one.id.isupper():
                    yield one.id, getattr(module, one.id)


def marked(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """`every=` of a schedule, and what a message says of its run."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id in MARKED:
                    yield f"{node.name}.{line.target.id}", line.value and ast.literal_eval(line.value)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for call in node.decorator_list:
                for word in call.keywords if isinstance(call, ast.Call) else ():
                    if word.arg in MARKED:
                        yield f"{node.name}.{word.arg}", ast.literal_eval(word.value)


def found() -> dict[str, dict[str, Any]]:
    """The numbers by module and name."""
    there: dict[str, dict[str, Any]] = {}
    files = [
        *(file for folder in FOLDERS for file in sorted((ROOT / folder).glob("*.py"))),
        *(ROOT / name for name in FILES),
    ]
    for file in files:
        if not file.is_file() or file.name == "report.py":  # a terminal's
            continue
        name = file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        tree = ast.parse(file.read_text(encoding="utf-8"))
        numbers = {one: plain(value) for one, value in [*constants(tree, importlib.import_module(name)), *marked(tree)]}
        if kept := {one: value for one, value in numbers.items() if value is not None}:
            there[name] = kept
    return there


FOUND = found()


@pytest.mark.parametrize("module", sorted({*FOUND, *WRITTEN}))
def test_a_limit_is_the_one_that_is_written_down(module: str) -> None:
    assert FOUND.get(module) == WRITTEN.get(module), "if it is meant: tests/limits.toml, and the documents that name it"
