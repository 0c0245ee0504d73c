"""Slips of the flow: what is done in which order and at the end, which errors are caught, what is remembered and passed on.

Each is a node, or a piece of its text, and what comes in its place; `operators.py` makes them slips.
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple


class Edit(NamedTuple):
    """The kind of a slip, the text between the ends of two nodes (or of one), what of it goes, and what comes."""

    kind: str
    first: ast.AST
    last: ast.AST
    after: str
    only: re.Pattern[str] | None = None  # of the text between the nodes' ends, where it is not all of both


# Words for readers of a document: what they say is no program's. Nor is subprocess's own `check=False`, for which a linter asks.
_SAID = {
    "summary",
    "description",
    "title",
    "examples",
    "help",
    "metavar",
    "name",
    "why",
    "stacklevel",
    "documentation_only",
    "encoding",
}
# Whoever is given too little says so at once.
_NAMING = {"execute", "executemany", "later", "expect", "convert", "Struct", "zip"}
# What is put together, or told, in any order.
_GATHERING = ("add", "append", "print", "info", "warning", "error", "debug", "exception", "extend", "register")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_FINALLY = re.compile(r"(?<=\n)[ ]*finally:")  # on a line of its own


def edits(node: ast.AST) -> Iterator[Edit]:
    """What can slip at a node, but for what lies in the nodes below it."""
    match node:
        case ast.Try(finalbody=[first, *_], orelse=[]) if all(handler.type for handler in node.handlers):
            before = [*node.body, *node.handlers][-1]
            indent = " " * node.col_offset
            # What ends by an error, or returns, leaves it out.
            after = f"{indent}except ZeroDivisionError:\n{indent}    raise\n{indent}else:"
            yield Edit("finally dropped", before, first, after, _FINALLY)
        case ast.ExceptHandler(type=caught, body=[*_, last]):
            for one in caught.elts if isinstance(caught, ast.Tuple) else ():
                yield Edit("error let through", one, one, "ZeroDivisionError")
            if isinstance(last, ast.Raise):
                yield Edit("error swallowed", last, last, "pass")
        case ast.Call(func=ast.Name(id="min" | "max" as word), args=[_, _, *_]):
            yield Edit("min, max", node.func, node.func, "max" if word == "min" else "min")
        case ast.Return(value=ast.Constant(value=bool(said)) as value):
            yield Edit("answer", value, value, str(not said))
        case ast.Dict(keys=[_, _, *_] as keys, values=values) if all(isinstance(key, ast.Constant) for key in keys):
            for key, value in zip(keys, values, strict=True):
                assert key is not None
                yield Edit("entry dropped", key, value, "**{}")
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from _of_function(node)
    if isinstance(node, ast.Call) and _name(node) not in _NAMING and not _name(node).endswith("Pool"):
        for word in node.keywords:
            if word.arg is not None and word.arg not in _SAID and ast.unparse(word) != "check=False":
                yield Edit("keyword dropped", word, word, "**{}")


def _of_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Edit]:
    for default in (*node.args.defaults, *node.args.kw_defaults):
        if isinstance(default, ast.Constant) and isinstance(default.value, bool):
            yield Edit("flag", default, default, str(not default.value))
    if node.name in ("__init__", "__new__"):
        return
    for block in _blocks(node):
        for one in block:
            match one:
                case ast.Assign(targets=[ast.Attribute(attr="description")]):
                    continue
                case ast.Assign(targets=[ast.Attribute()]) | ast.AugAssign(target=ast.Attribute()):
                    yield Edit("assignment dropped", one, one, "pass")
        for one, other in pairwise(block):
            if _called(one) and _called(other):
                yield Edit("order of statements", one, other, "")


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks of a function, but for those of functions in it."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block
            for one in block:
                if not isinstance(one, (*_FUNCTIONS, ast.ClassDef)):
                    yield from _blocks(one)
    for handler in getattr(node, "handlers", ()):
        yield from _blocks(handler)


def _called(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Await(value=ast.Call() as call) | (ast.Call() as call)):
            return not _name(call).startswith(_GATHERING)
    return False


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
