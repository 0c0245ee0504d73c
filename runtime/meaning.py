"""What Python code means, as a digest: comments, formatting, line numbers and docstrings that no one reads don't count.

Taken from the syntax tree and not from compiled code, which another Python writes differently: a plan made by 3.13 must find
what CI built with 3.11. Annotations, decorators, defaults and constants are all in it.

Docstrings that are served stay: those of classes with a base (a problem's is its message, a Struct's is in the API's schema) and
of decorated functions (a handler's describes its operation); a module's where the module reads `__doc__`.
"""

import ast
import functools
import hashlib
from typing import Any

# Notes of the parser that change nothing.
_SKIPPED = {"type_comment", "kind", "ctx", "type_ignores", "lineno", "col_offset", "end_lineno", "end_col_offset"}


def parse(code: str, file: str = "<unknown>") -> ast.Module:
    """The tree of some code.

    Raises:
        SyntaxError: it is not Python.
    """
    try:
        return ast.parse(code, file)
    except ValueError as error:  # a null byte, before Python 3.11.4
        raise SyntaxError(str(error), (file, code.partition("\0")[0].count("\n") + 1, None, None)) from None


@functools.lru_cache(maxsize=1)
def parsed(code: str) -> ast.Module:
    """`parse` of the last code, kept: imports and meaning are asked for one after the other."""
    return parse(code)


@functools.lru_cache(maxsize=2048)
def meaning(code: str) -> str:
    """64 hexadecimal digits over what a module's code means.

    Raises:
        SyntaxError: it is not Python.
    """
    tree = parsed(code)
    # To walk the tree takes a quarter of all this: where the word is in no text of the file, no one reads it.
    reads_doc = "__doc__" in code and any(isinstance(n, ast.Name) and n.id == "__doc__" for n in ast.walk(tree))
    parts: list[str] = []
    _write(tree, parts, keep_doc=reads_doc)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _write(node: ast.AST, parts: list[str], *, keep_doc: bool) -> None:
    parts.append(type(node).__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        if name in _SKIPPED or value is None or value == []:
            continue
        parts.append(name)
        if name == "body" and isinstance(value, list):
            value = _body(value, keep_doc=keep_doc)
        _value(value, parts)
    parts.append(")")


def _value(value: Any, parts: list[str]) -> None:
    if isinstance(value, list):
        parts.append("[")
        for item in value:
            _value(item, parts)
        parts.append("]")
    elif isinstance(value, ast.AST):
        _write(value, parts, keep_doc=_is_served(value))
    else:
        parts.append(f"{type(value).__name__} {value!r}")


def _is_served(node: ast.AST) -> bool:
    """Whether somebody reads the docstring of a class or function at run time."""
    if isinstance(node, ast.ClassDef):
        return bool(node.bases or node.keywords or node.decorator_list)
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and bool(node.decorator_list)


def _body(statements: list[ast.stmt], *, keep_doc: bool) -> list[ast.stmt]:
    """A body without the texts in it that are only texts."""
    return [
        statement
        for place, statement in enumerate(statements)
        if not (isinstance(statement, ast.Expr) and _is_text(statement.value)) or (place == 0 and keep_doc)
    ]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
