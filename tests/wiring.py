"""Whether messages and functions fit each other: `python -m tests.wiring`, a part of `make check`.

Files are read, never imported. mypy sees a field that a message does not have, and a `reply` that is not a class of outcomes;
what it can't see is here.
"""

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from runtime.services import ROOT

KINDS = ("Message", "Outcome")


class Taken(Struct, frozen=True):
    """A message's class. `name` is its full name, `actor` the function that it says takes it."""

    name: str
    file: str
    kind: str
    actor: str
    fields: tuple[str, ...]

    @property
    def short(self) -> str:
        return self.name.rpartition(".")[2]


# Its tests read all files again for each slip, of which one has changed.
_parsed = functools.lru_cache(maxsize=512)(ast.parse)


class Module(Struct, frozen=True):
    """A file of a service, with what it names of the messages: local name to full name."""

    file: str
    folder: str
    tree: ast.Module
    names: dict[str, str]

    def full(self, node: ast.expr) -> str:
        """The full name of a class that an expression names, or ""."""
        return self.names.get(ast.unparse(node), "")

    def reads(self) -> set[str]:
        return {node.attr for node in ast.walk(self.tree) if isinstance(node, ast.Attribute)}

    def texts(self) -> set[str]:
        return {n.value for n in ast.walk(self.tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))


def messages(root: Path) -> list[Taken]:
    """The classes of messages and outcomes."""
    found = []
    for path in (root / "shared/messages.py", *sorted((root / "functions").glob("*/messages.py"))):
        file = path.relative_to(root).as_posix()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef):
                continue
            kinds = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in KINDS]
            if kinds:
                name = f"{file.removesuffix('.py').replace('/', '.')}.{node.name}"
                found.append(Taken(name, file, kinds[0], _actor(node), tuple(_fields(node))))
    return found


def _actor(node: ast.ClassDef) -> str:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == "actor" and line.value is not None:
            return str(ast.literal_eval(line.value))
    return ""


def _fields(node: ast.ClassDef) -> Iterator[str]:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and not ast.unparse(line.annotation).startswith("ClassVar"):
            yield ast.unparse(line.target)


def modules(root: Path) -> list[Module]:
    """The files of all services."""
    return [_module(root, path) for path in sorted((root / "functions").glob("*/*.py"))]


def _module(root: Path, path: Path) -> Module:
    tree = _parsed(path.read_text(encoding="utf-8"))
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names[alias.asname or alias.name] = full
                if alias.name == "messages":
                    # `messages.ProcessPhoto`: every name of the module under its own.
                    names |= {f"{alias.asname or alias.name}.{taken.short}": taken.name for taken in messages(root)}
    return Module(path.relative_to(root).as_posix(), path.parent.name, tree, names)


def takers(files: list[Module]) -> Iterator[tuple[Module, str, str]]:
    """Each queue function: its file, its name, and the full name of what it takes."""
    for module in files:
        for node in module.tree.body:
            for decorator in getattr(node, "decorator_list", ()):
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "queue":
                    yield module, node.name, module.full(decorator.args[0])  # type: ignore[attr-defined] # a function


def slips(root: Path = ROOT) -> list[str]:
    """What does not fit, one sentence each."""
    known = {taken.name: taken for taken in messages(root)}
    files = modules(root)
    found = [*_taken(known, files), *_sent(known, files), *_replies(known, files)]
    return sorted(found)


def _taken(known: dict[str, Taken], files: list[Module]) -> Iterator[str]:
    """Every message names a function that takes it and reads all of its fields."""
    by_class: dict[str, list[tuple[Module, str]]] = {}
    for module, function, name in takers(files):
        if name not in known:
            yield f"{module.file}: @queue takes a class of shared/messages.py or of its service's messages.py"
            continue
        by_class.setdefault(name, []).append((module, function))
        wanted = known[name].actor.replace("*", module.folder, 1)
        if wanted != f"{module.folder}/{function}":
            yield f"{module.file}: {known[name].short} names {wanted} as the function that takes it"
    for taken in known.values():
        if taken.name not in by_class:
            yield f"{taken.file}: no function takes {taken.short}: its actor is {taken.actor or 'not said'!r}"
        for module, _ in by_class.get(taken.name, ()):
            for field in sorted(set(taken.fields) - module.reads()):
                yield f"{module.file}: no one reads the field {field} of {taken.short}"


def _sent(known: dict[str, Taken], files: list[Module]) -> Iterator[str]:
    """Every message is sent by someone, and one for several services to each that takes it."""
    senders: dict[str, list[Module]] = {}
    for module in files:
        for call in module.calls():
            for node in (call.func, *(keyword.value for keyword in call.keywords if keyword.arg == "reply")):
                senders.setdefault(module.full(node), []).append(module)
    for module, function, name in takers(files):
        taken = known.get(name)
        if taken is None:
            continue
        if name not in senders:
            yield f"{module.file}: no one sends {taken.short}, which {function} takes"
        elif taken.actor.startswith("*") and not any(module.folder in sender.texts() for sender in senders[name]):
            yield f"{module.file}: no one sends {taken.short} to {module.folder}"


def _replies(known: dict[str, Taken], files: list[Module]) -> Iterator[str]:
    """A reply is a class of outcomes of the service that accepts the task."""
    for module in files:
        for call in module.calls():
            for keyword in call.keywords:
                if keyword.arg != "reply" or ast.unparse(call.func).rpartition(".")[2] != "enqueue":
                    continue
                taken = known.get(module.full(keyword.value))
                if taken is None or taken.kind != "Outcome":
                    said = ast.unparse(keyword.value)
                    yield f"{module.file}: reply={said} is no class of outcomes of functions/{module.folder}/messages.py"
                elif not taken.actor.startswith(f"{module.folder}/"):
                    yield f"{module.file}: the reply {taken.short} goes to another service, {taken.actor}"


if __name__ == "__main__":
    said = slips()
    sys.stdout.write("".join(f"{line}\n" for line in said))
    sys.exit(bool(said))
