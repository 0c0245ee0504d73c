"""Deliberate slips: each is one edit of one file, of the kinds that people make.

The operators read the source by `ast` and change its text at one place, so that all else stays byte for byte. SQL is text in the
code: a condition that no longer holds back, a lock that is gone, a bound that is one off.
"""

import ast
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from tests.mutants.flow import edits


class Mutant(Struct, frozen=True):
    """One slip: what the bytes `start` to `end` of a file (below the checkout) become, and the kind of it."""

    file: str
    line: int
    kind: str
    start: int
    end: int
    before: str
    after: str

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.after.encode() + source[self.end :]

    def __str__(self) -> str:
        before, after = (" ".join(text.split())[:70] for text in (self.before, self.after))
        return f"{self.file}:{self.line}  {self.kind}: {before}  ->  {after or '(nothing)'}"


_SWAPS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
_PART = re.compile(r"(?<!\{)\{[a-z_][^{}]*\}(?!\})")
_STATEMENT = re.compile(r"^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)
# Each: the kind, what is looked for in a statement, and what comes in its place (groups as `re.sub` knows them).
_SQL: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("lock dropped", re.compile(r"\bFOR (?:NO KEY )?(?:UPDATE|SHARE)(?: OF \w+)?(?: SKIP LOCKED| NOWAIT)?"), ""),
    (
        "condition dropped",
        re.compile(r"\b(AND|WHERE) ((?!NOT MATCHED)[\w.]+ (?:=|<=?|>=?) %\(?\w*\)?s\b)"),
        r"\1 (\2 OR true)",
    ),
    ("condition dropped", re.compile(r"\b(AND|WHERE) ([\w.]+ IS (?:NOT )?NULL)\b"), r"\1 (\2 OR true)"),
    (
        "condition dropped",
        re.compile(r"\b(AND|WHERE) ([\w.]+ (?:=|<>|<=?|>=?) (?:\?|'[^']*'|-?\d+)(?!\w))"),
        r"\1 (\2 OR true)",
    ),
    (
        "condition dropped",
        re.compile(r"\b(AND|WHERE) ([\w.]+ IS (?:NOT )?DISTINCT FROM %\(?\w*\)?s)"),
        r"\1 (\2 OR true)",
    ),
    # Of what is written where there is something already, or changed: one column less.
    ("column not written", re.compile(r",\s+\w+ = (?:excluded\.\w+|%\(\w+\)s)(?=[,\s])"), ""),
    ("column not written", re.compile(r"(?<=SET )\w+ = (?:excluded\.\w+|%\(\w+\)s),\s+"), ""),
    ("conflict met", re.compile(r"\s*ON CONFLICT(?: \([^()]*\))? DO NOTHING"), ""),
    # Not of times: no one sees whether something ends in this microsecond or in the next.
    ("bound", re.compile(r"(?<=[\w)] )(?<!_at )(?<!timestamp )<=(?= )"), "<"),
    ("bound", re.compile(r"(?<=[\w)] )(?<!_at )(?<!timestamp )>=(?= )"), ">"),
    ("bound", re.compile(r"(?<=[\w)] )(?<!_at )(?<!timestamp )<(?= [\w%(])"), "<="),
    ("order", re.compile(r"\bDESC\b"), "ASC"),
    ("order", re.compile(r"(ORDER BY [\w.]+)(?= LIMIT|\n|$)"), r"\1 DESC"),
    ("limit dropped", re.compile(r"\bLIMIT (%\(?\w*\)?s)"), r"LIMIT GREATEST(1000000, \1)"),
)
# What tells people something changes nothing that a test should hold; nor does how long something waits or how wide it prints:
# such numbers are tuned, and a test that measures time measures the machine.
_TELLING = {
    "print",
    "info",
    "warning",
    "error",
    "exception",
    "debug",
    "say",
    "trouble",
    "append",
    "write_line",
    "progress_line",
}
_TOLD = {"log", "spans", "metrics"}
_CLOCKS = {"now", "time", "monotonic", "perf_counter"}
_TUNED = re.compile(
    r"timeout|time_limit|patience|pause|interval|every|wait|seconds|delay|backoff|width|columns|keep_?alive|backlog|buffer|chunk|batch"
    r"|workers|threads|stack_size|rounds",
    re.IGNORECASE,
)


def mutants(path: Path, root: Path) -> list[Mutant]:
    """Every slip of a Python file."""
    source = path.read_bytes()
    reader = _Reader(path.relative_to(root).as_posix(), source)
    return list(reader.mutants(ast.parse(source)))


class _Reader:
    def __init__(self, file: str, source: bytes) -> None:
        self._file, self._source = file, source
        self._starts = [0]
        for line in source.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))

    def mutants(self, tree: ast.AST) -> Iterator[Mutant]:
        skipped = set(_unread(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield from self._key(node)
            if node not in skipped:
                yield from self._of(node)
                for kind, first, last, after, only in edits(node):
                    if {first, last}.isdisjoint(skipped):
                        yield from self._edited(kind, first, last, after, only)

    def _of(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _SWAPS and not _of_now(node):
                yield from self._between(left, right, *_SWAPS[type(op)], kind="comparison")
            case ast.BoolOp(op=op, values=values):
                word, other = ("and", "or") if isinstance(op, ast.And) else ("or", "and")
                yield from self._between(values[0], values[1], word, other, kind="and, or")
                yield self._put(node, self._text(values[0]), "condition dropped")
                if len(values) > 1:
                    yield self._put(node, self._text(values[-1]), "condition dropped")
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield self._put(node, f"({self._text(operand)})", "not dropped")
            case ast.If(test=test, body=[ast.Raise() | ast.Return() | ast.Continue()]):
                yield self._put(test, "False", "guard dropped")
            case ast.Expr(value=ast.Await(value=ast.Call() as call) | (ast.Call() as call)) if _name(
                call
            ) not in _TELLING and not _tells(call):
                yield self._put(node, "pass", "call dropped")
            case (
                ast.AsyncWith(items=[ast.withitem(optional_vars=None) as item])
                | ast.With(items=[ast.withitem(optional_vars=None) as item])
            ):
                yield self._hold(node, item)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=right) if not _textual(node):
                yield self._put(node, f"({self._text(left)})", "term dropped")
            case ast.keyword(arg=str(), value=ast.Constant(value=bool(flag)) as value):
                yield self._put(value, str(not flag), "flag")
            case ast.Constant(value=bool()):
                return
            case ast.Constant(value=int(number) | float(number)) if number > 1:
                yield self._put(node, f"({self._text(node)} * 2)", "number")
            case ast.Constant(value=str(text)) if _STATEMENT.match(text):
                yield from self._statement(node)
            case ast.List(elts=elts) | ast.Tuple(elts=elts):
                for one in elts:
                    if isinstance(one, ast.Constant) and str(one.value).startswith("--"):
                        yield self._put(one, f"*({self._text(one)},)[:0]", "option dropped")

    def _edited(
        self, kind: str, first: ast.AST, last: ast.AST, after: str, only: re.Pattern[str] | None
    ) -> Iterator[Mutant]:
        start, end = self._span(first)[0], self._span(last)[1]
        if kind == "order of statements":
            between = self._source[self._span(first)[1] : self._span(last)[0]].decode()
            after = self._text(last) + between + self._text(first)
        if only is None:
            yield self._mutant(start, end, after, kind)
        else:
            text = self._source[start:end].decode()
            *_, found = only.finditer(text)  # the node's own is behind those of the nodes in it
            at = start + len(text[: found.start()].encode())
            yield self._mutant(at, at + len(found[0].encode()), after, kind)

    def _key(self, node: ast.JoinedStr) -> Iterator[Mutant]:
        """A name that is put together, as of a key or a lock, with one part less; what has spaces is for people."""
        text, start = self._text(node), self._span(node)[0]
        parts = list(_PART.finditer(text))
        if len(parts) > 1 and not any(character.isspace() for character in _PART.sub("", text)):
            for part in parts:
                at = start + len(text[: part.start()].encode())
                yield self._mutant(at, at + len(part[0].encode()), "", "part of a name dropped")

    def _statement(self, node: ast.Constant) -> Iterator[Mutant]:
        text, start = self._text(node), self._span(node)[0]
        for kind, pattern, put in _SQL:
            if kind == "order" and re.match(r"\W*DELETE\b", text):
                continue  # all of what is to go goes, batch after batch
            for found in pattern.finditer(text):
                at = start + len(text[: found.start()].encode())
                yield self._mutant(at, at + len(found[0].encode()), found.expand(put), kind)

    def _hold(self, node: ast.With | ast.AsyncWith, item: ast.withitem) -> Mutant:
        start, end = self._span(node)[0], self._span(item.context_expr)[1]
        return self._mutant(start, end, "if True", "with dropped")

    def _between(self, left: ast.AST, right: ast.AST, word: str, other: str, *, kind: str) -> Iterator[Mutant]:
        start, end = self._span(left)[1], self._span(right)[0]
        found = re.search(rb"(?<![\w<>=!])" + re.escape(word.encode()) + rb"(?![\w<>=])", self._source[start:end])
        if found:
            yield self._mutant(start + found.start(), start + found.end(), other, kind)

    def _put(self, node: ast.AST, after: str, kind: str) -> Mutant:
        return self._mutant(*self._span(node), after, kind)

    def _mutant(self, start: int, end: int, after: str, kind: str) -> Mutant:
        return Mutant(
            self._file, bisect_right(self._starts, start), kind, start, end, self._source[start:end].decode(), after
        )

    def _span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.expr | ast.stmt | ast.keyword | ast.excepthandler)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.lineno - 1] + node.col_offset, self._starts[node.end_lineno - 1] + node.end_col_offset

    def _text(self, node: ast.AST) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()


def _unread(tree: ast.AST) -> Iterable[ast.AST]:
    """What runs in no test by its nature: annotations, options of classes, messages, what logs and traces are given, asserts,
    `if __name__ == "__main__"`."""
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(annotation=part) | ast.arg(annotation=ast.expr() as part):
                yield from ast.walk(part)
            case ast.FunctionDef(returns=ast.expr() as part) | ast.AsyncFunctionDef(returns=ast.expr() as part):
                yield from ast.walk(part)
            case ast.ClassDef(keywords=keywords, decorator_list=decorators):
                # A Struct or a dataclass that may be changed, though no one does.
                for part in (*keywords, *decorators):
                    yield from ast.walk(part)
            case ast.Call(func=ast.Attribute(attr="recv" | "recv_fds"), args=args):
                # How much is read at once.
                yield from (part for one in args for part in ast.walk(one))
            case ast.keyword(arg="usedforsecurity"):
                # Only a build of OpenSSL that forbids old digests asks.
                yield from ast.walk(node)
            case ast.JoinedStr() | ast.Assert():
                yield from ast.walk(node)
            case ast.Call(func=ast.Name(id="zip"), keywords=keywords):
                # `strict` is an assert.
                yield from (part for keyword in keywords for part in ast.walk(keyword))
            case ast.Call() if _tells(node):
                yield from (part for argument in node.args + node.keywords for part in ast.walk(argument))
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as part)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as part)
                | ast.keyword(arg=str(name), value=part)
            ) if _TUNED.search(name):
                yield from (
                    one for one in ast.walk(part) if isinstance(one, ast.Constant) and one.value not in (True, False)
                )
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__")) | ast.Name(id="TYPE_CHECKING")):
                yield from ast.walk(node)


def _tells(call: ast.Call) -> bool:
    """Whether what it is given only reaches a log, a trace or a counter."""
    match call.func:
        case ast.Attribute(value=ast.Call(func=ast.Attribute(attr="labels"))) | ast.Attribute(attr="labels"):
            return True
        case ast.Attribute(value=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name.lstrip("_") in _TOLD
    return False


def _of_now(node: ast.Compare) -> bool:
    """Whether it asks if a time has come: no one sees whether that is so in this microsecond or in the next."""
    return any(isinstance(part, ast.Call) and _name(part) in _CLOCKS for part in ast.walk(node))


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _textual(node: ast.BinOp) -> bool:
    """A sum of texts: what a person reads."""
    return any(
        isinstance(part, ast.JoinedStr) or isinstance(getattr(part, "value", None), str)
        for part in (node.left, node.right)
    )
