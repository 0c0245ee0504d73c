"""Where a slip is: the function around it, who calls that, and whether a test has entered it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from tests.mutants.operators import Mutant

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def around(path: Path, line: int) -> list[str]:
    """Names by which a test may know the function that a line is in: its own (the innermost), those of who calls it in the file,
    step by step, and its class's; none outside of all functions and classes."""
    tree = ast.parse(path.read_bytes())
    found = [name] if (name := getattr(_innermost(tree, line, _FUNCTIONS), "name", "")) else []
    calls = {node.name: set(_called(node)) for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)}
    for name in found:  # grows meanwhile
        found += [caller for caller, called in calls.items() if name in called and caller not in found]
    if isinstance(home := _innermost(tree, line, (ast.ClassDef,)), ast.ClassDef):
        found.append(home.name)
    return found


def _innermost(tree: ast.AST, line: int, kinds: tuple[type[ast.stmt], ...]) -> ast.AST | None:
    found = [
        node for node in ast.walk(tree) if isinstance(node, kinds) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return found[-1] if found else None  # `walk` comes to inner ones later


def _called(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name


def watched(slip: Mutant, source: bytes, mark: Path, *, slipped: bool = True) -> bytes:
    """A file with the slip in it, whose function makes the file `mark` when it is entered; what is in no function runs always.

    Without the slip, the rest is the same: a test that fails then too has noticed the watch.
    """
    slip = slip if slipped else replace(slip, after=slip.before)
    function = _innermost(ast.parse(source), slip.line, _FUNCTIONS)
    if not isinstance(function, _FUNCTIONS):
        mark.touch()
        return slip.applied(source)
    body = function.body
    told = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and len(body) > 1
    first = body[1 if told else 0]
    lines = source.splitlines(keepends=True)
    at = sum(len(line) for line in lines[: first.lineno - 1]) + first.col_offset
    # On a line of its own before the first statement; in it where that begins on the line of the `def`.
    enter = f"globals().get('_in') or globals().update(_in=__import__('pathlib').Path({str(mark)!r}).touch() or True)"
    separator = f"\n{' ' * first.col_offset}" if lines[first.lineno - 1][: first.col_offset].isspace() else "; "
    put = (enter + separator).encode()
    if slip.start >= at:
        return source[:at] + put + source[at : slip.start] + slip.after.encode() + source[slip.end :]
    return source[: slip.start] + slip.after.encode() + source[slip.end : at] + put + source[at:]
