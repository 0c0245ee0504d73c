"""Every number by which something is limited, kept, waited for or repeated is in limits.toml too.

So are the bounds of each field, who may read a file, how long a call may take, what a setting, an option or a parameter is where
nobody says, and every error's status.

Tests make limits small to reach them, so that one which is half or twice as much by mistake passes them all. Whoever means to
change a number changes it in both places, and that is the moment to look for the documents that name it. Numbers that only
measures tell right from wrong (the search's, the assistant's, the classifier's) are `make eval`'s.
"""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import astuple

from runtime.services import ROOT

WRITTEN = tomllib.loads((Path(__file__).parent / "limits.toml").read_text(encoding="utf-8"))
SERVICES = ("auth", "chat_llm", "location", "storage", "userinfo", "waste")
FOLDERS = (
    *("shared", "runtime", "runtime/delivery", "runtime/http", "runtime/journal"),
    *(f"functions/{name}" for name in SERVICES),
    *("k8s/programs", "k8s/tools", "emulator"),
    *(f"emulator/{name}" for name in ("commands", "network", "outside", "recording", "servers", "servers/s3", "state")),
)
# Of services whose numbers are evaluated, what costs money, memory or time.
FILES = (
    *(f"functions/ai/{name}.py" for name in ("messages", "cache", "classify_photo", "answer_question", "openai_chat")),
    *(f"functions/ai/{name}.py" for name in ("openai_photos", "openai_questions")),
    *(f"functions/recycle_info/{name}.py" for name in ("import_items", "search", "sweep_queries")),
)
BESIDE = ("k8s.", "emulator.")
# What an expression of numbers consists of.
_RECKONED = (ast.Constant, ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop, ast.Tuple, ast.Dict, ast.expr_context)
# Programs with the colours and widths of a terminal.
SHOWN = {"report.py", "screen.py", "timeline_text.py"}
# How long a thing may take or rest, and an error's status, said where it is marked and not as a constant.
MARKED = {"every", "time_limit", "status"}
# What a field of a request may hold at least and at most.
BOUNDS = {"min_length", "max_length", "ge", "gt", "le", "lt"}
BOUNDED = re.compile(rf"\b({'|'.join(sorted(BOUNDS))})=".encode())
# How long a call may take and how much of it is kept, by what it is called there.
GIVEN = re.compile(r"timeout|maxsize|maxlen|backlog|grace|max_keepalive|retry_after")
# How many rows one statement takes, with what it is said in.
BATCH = re.compile(r"\bLIMIT (\d+)")


def plain(value: Any) -> Any:
    """A number, or numbers; a span of time in seconds. None for anything else."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict) and all(isinstance(name, str) and name.isascii() for name in value):
        return plain(tuple(value.values()))
    if isinstance(value, Struct):
        return plain(tuple(one for one in astuple(value) if isinstance(one, float)))
    if isinstance(value, tuple):
        found = [plain(one) for one in value]
        return found if found and None not in found else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def constants(tree: ast.Module, module: str) -> Iterator[tuple[str, Any]]:
    """Constants of a module. What is reckoned of numbers is reckoned here; for the rest the module is imported, but for those of
    programs that run beside the services: what they import takes a second, and they have none of these."""
    known: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            node = ast.Assign([node.target], node.value)
        if isinstance(node, ast.Assign):
            targets = [
                one for target in node.targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])
            ]
            names = [one.id for one in targets if isinstance(one, ast.Name) and one.id.isupper()]
            if not names:
                continue
            if all(isinstance(part, _RECKONED) for part in ast.walk(node.value)):
                values = eval(compile(ast.Expression(node.value), module, "eval"), dict(known))
                known |= (
                    zip(names, values, strict=True) if isinstance(node.targets[0], ast.Tuple) else {names[0]: values}
                )
            elif not module.startswith(BESIDE):
                known |= {name: getattr(importlib.import_module(module), name) for name in names}
    yield from known.items()


def marked(tree: ast.Module, lines: list[bytes]) -> Iterator[tuple[str, Any]]:
    """`every=` of a schedule, what a message says of its run, an error of its status, what a setting, an option or a parameter is
    where nobody says, a statement's own LIMIT, and what calls are given."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for line in node.body:
                match line:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=value))
                        | ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value))
                    ) if name in MARKED or node.name == "Settings" or value not in (0, 1):
                        yield f"{node.name}.{name}", value
        parts = list(ast.walk(node))
        yield from unsaid(parts)
        for what, numbers in (("LIMIT", batches(parts)), ("modes", octals(parts, lines)), ("given", given(parts))):
            if numbers:
                yield f"{named(node)}.{what}", numbers
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for call in node.decorator_list:
                for word in call.keywords if isinstance(call, ast.Call) else ():
                    if word.arg in MARKED:
                        yield f"{node.name}.{word.arg}", ast.literal_eval(word.value)


def unsaid(parts: list[ast.AST]) -> Iterator[tuple[str, Any]]:
    """What a command's option, and a function's parameter, is where nobody says it; of nothing and of one there is no half."""
    for node in parts:
        pairs: list[tuple[str, ast.expr | None]] = []
        match node:
            case ast.Call(func=ast.Attribute(attr="add_argument"), args=[*_, ast.Constant(value=name)], keywords=words):
                pairs = [(str(name), word.value) for word in words if word.arg == "default"]
            case ast.FunctionDef(name=name, args=taken) | ast.AsyncFunctionDef(name=name, args=taken):
                named = [*taken.posonlyargs, *taken.args][::-1]
                pairs = [(f"{name}.{one.arg}", value) for one, value in zip(named, taken.defaults[::-1], strict=False)]
                pairs += [
                    (f"{name}.{one.arg}", value) for one, value in zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
                ]
        for name, value in pairs:
            if isinstance(value, ast.Constant) and value.value not in (0, 1):
                yield name, value.value


def bounds(node: ast.AST, name: str = "") -> Iterator[tuple[str, Any]]:
    """The bounds of a field, a parameter or a type, by its name and those around it."""
    match node:
        case ast.ClassDef(name=own) | ast.FunctionDef(name=own) | ast.AsyncFunctionDef(name=own) | ast.arg(arg=own):
            name = f"{name}{own}."
        case ast.AnnAssign(target=ast.Name(id=own)) | ast.Assign(targets=[ast.Name(id=own)]):
            name = f"{name}{own}."
        case ast.keyword(arg=str(own), value=ast.Constant() | ast.UnaryOp() as value) if own in BOUNDS:
            yield f"{name}{own}", ast.literal_eval(value)
    for child in ast.iter_child_nodes(node):
        yield from bounds(child, name)


def batches(parts: list[ast.AST]) -> tuple[int, ...]:
    texts = (one.value for one in parts if isinstance(one, ast.Constant) and isinstance(one.value, str))
    return tuple(int(number) for text in texts for number in BATCH.findall(text) if int(number) > 1)


def octals(parts: list[ast.AST], lines: list[bytes]) -> tuple[int, ...]:
    """Who may read a file or a folder: an octal number."""
    return tuple(
        one.value
        for one in parts
        if isinstance(one, ast.Constant) and isinstance(one.value, int)
        if lines[one.lineno - 1][one.col_offset :].startswith(b"0o")
    )


def given(parts: list[ast.AST]) -> tuple[float, ...]:
    """What calls are given by such a name."""
    words = (one for one in parts if isinstance(one, ast.keyword) and GIVEN.search(one.arg or ""))
    values = (word.value.value for word in words if isinstance(word.value, ast.Constant))
    return tuple(one for one in values if isinstance(one, (int, float)) and not isinstance(one, bool))


def named(node: ast.stmt) -> str:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return ast.unparse(targets[0]) if targets else getattr(node, "name", "")


def modules() -> set[str]:
    """Whose numbers are written down."""
    files = [*(file for folder in FOLDERS for file in (ROOT / folder).glob("*.py")), *(ROOT / name for name in FILES)]
    return {
        file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for file in files if file.name not in SHOWN
    }


def numbers(module: str) -> dict[str, Any]:
    """A module's numbers by name."""
    file = ROOT / f"{module.replace('.', '/')}.py"
    if not file.is_file():
        return {}
    text = file.read_bytes()
    tree = ast.parse(text)
    said = [*constants(tree, module), *marked(tree, text.splitlines())]
    said += bounds(tree) if BOUNDED.search(text) else []
    found = {name: plain(value) for name, value in said}
    return {name: number for name, number in found.items() if number is not None}


# Files are read by the tests alone: each process of a run collects these.
@pytest.mark.parametrize("module", sorted(WRITTEN))
def test_a_limit_is_the_one_that_is_written_down(module: str) -> None:
    assert numbers(module) == WRITTEN[module], "if it is meant: tests/limits.toml, and the documents that name it"


def test_no_other_module_has_a_limit() -> None:
    assert {module: found for module in modules() - {*WRITTEN} if (found := numbers(module))} == {}


# How many rows a function of SQL is told to take, as its statement says it.
TAKEN = re.compile(r"\bLIMIT (?:\(SELECT )?%(?:\((?:limit|most)\))?s(?:::bigint\))?(?=[\s)]|$)")


def said(node: ast.AST, named: dict[str, ast.expr]) -> str:
    """The text that a node is made of, and the constants of its module that it names."""
    parts = [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
    if isinstance(node, ast.Name) and node.id in named:
        parts.append(said(named[node.id], named))
    return "\n".join([*parts, *(said(child, named) for child in ast.iter_child_nodes(node))])


def limited() -> Iterator[tuple[str, str]]:
    """The functions of SQL that are told how many rows to take at most, with all that they say."""
    for file in (*sorted((ROOT / "functions").glob("*/db.py")), ROOT / "shared/uploads.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        named = {
            one.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for one in node.targets
            if isinstance(one, ast.Name)
        }
        for node in tree.body:
            if isinstance(node, ast.AsyncFunctionDef) and {"limit", "most"} & {one.arg for one in node.args.args}:
                text = "\n".join(said(line, named) for line in node.body)
                yield f"{file.relative_to(ROOT).as_posix()}: {node.name}", text


def test_whoever_is_told_how_many_rows_to_take_takes_no_more() -> None:
    """The answer is cut to its length afterwards too, so without it no one would see anything but the cost."""
    found = dict(limited())
    assert found
    for name, text in found.items():
        limits = re.findall(r"\bLIMIT\b(?! \d)", text)
        assert len(TAKEN.findall(text)) == len(limits), name
        assert limits or re.search(r"\bLIMIT 1\b", text), name
