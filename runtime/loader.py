"""Finds functions and loads them: the same way in a pod, the emulator and the tests.

`discover` reads the files without importing them, so that a listing, a plan or a lint costs nothing and an API service can
start serving HTTP before anything of its queue functions is imported.
"""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from importlib.util import decode_source
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from runtime.meaning import parse
from runtime.services import ROOT, Service, suggestion

if TYPE_CHECKING:
    import dramatiq
    from litestar.handlers import HTTPRouteHandler

    from shared.triggers import Schedule

Trigger = Literal["http", "queue", "schedule", "command"]
_HTTP = {"get", "post", "put", "patch", "delete", "head"}

__all__ = ["Function", "LoadError", "discover", "load_command", "load_http", "load_queue_functions", "load_schedules"]


class LoadError(Exception):
    """A function can't be loaded: the message says which file, what is wrong, and what was found."""


class Function(Struct, frozen=True):
    """One function, as its file says without being run."""

    service: str  # folder
    name: str
    trigger: Trigger
    # "POST /api/v1/auth/login", "queue storage", "every 3600 s", "eco2 import centers"
    where: str
    file: str  # relative to the checkout

    @property
    def module(self) -> str:
        return f"functions.{self.service}.{self.name}"


# Given a file's text, its path in the checkout, its service's prefix and a way to read it: the function in it.
Known = Callable[[str, str, str, Callable[[], Function | None]], Function | None]


def discover(service: Service, root: Path = ROOT, known: Known | None = None) -> list[Function]:
    """The functions of a service in the checkout at `root`, by file name; `known` answers for files that were read before.

    Raises:
        LoadError: a file does not parse, holds more than one trigger, or has another's route.
    """
    found = []
    for path in _files(root / "functions" / service.folder):
        if path.stem != "__init__" and (function := _read(service, path, root, known)) is not None:
            found.append(function)
    _no_route_twice((function.where, function.file) for function in found if function.trigger == "http")
    return found


def _files(folder: Path) -> list[Path]:
    """The modules of a folder, as an import would find them: no editor's lock (`.#x.py`, a link to nothing), no `x copy.py`."""
    return [path for path in sorted(folder.glob("*.py")) if path.stem.isidentifier() and path.is_file()]


def _no_route_twice(routes: Iterable[tuple[str, str]]) -> None:
    taken: dict[str, str] = {}
    for route, file in routes:
        # A parameter's name is not a part of the address.
        other = taken.setdefault(re.sub(r"\{\w+", "{", route), file)
        if other != file:
            raise LoadError(f"{file}: {other} has the route {route} already")


def _read(service: Service, path: Path, root: Path, known: Known | None) -> Function | None:
    def read() -> Function | None:
        status = path.stat()
        return _parsed(service.folder, service.prefix, path, root, status.st_mtime_ns, status.st_size)

    if known is None:
        return read()
    # Text of whatever encoding: it is only compared.
    return known(path.read_bytes().decode("latin-1"), path.relative_to(root).as_posix(), service.prefix, read)


# By the state of the file: the emulator's services inherit what its template has read already.
@lru_cache(maxsize=1024)
def _parsed(folder: str, prefix: str, path: Path, root: Path, changed: int, size: int) -> Function | None:
    file = path.relative_to(root).as_posix()
    try:
        # With a byte order mark and a coding line as Python reads them.
        tree = parse(decode_source(path.read_bytes()), file)
    except SyntaxError as error:
        raise LoadError(f"{file}, line {error.lineno or 1}: {error.msg}") from None
    except ValueError as error:  # no UTF-8
        raise LoadError(f"{file}: {error}") from None
    triggers = [
        (node.name, trigger)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in node.decorator_list
        if (trigger := _trigger(folder, prefix, decorator, file)) is not None
    ]
    if not triggers:
        return None
    if len(triggers) > 1:
        names = ", ".join(name for name, _ in triggers)
        raise LoadError(f"{file}: a function is one file with one trigger, and this has {len(triggers)}: {names}")
    name, (kind, where) = triggers[0]
    if name != path.stem:
        raise LoadError(f"{file}: name the function like its file: {path.stem}, not {name}")
    return Function(folder, name, kind, where, file)


def _trigger(folder: str, prefix: str, node: ast.expr, file: str) -> tuple[Trigger, str] | None:
    if not isinstance(node, ast.Call):
        if (bare := ast.unparse(node)) in _HTTP | {"queue", "schedule", "command"}:
            raise LoadError(f"{file}, line {node.lineno}: @{bare} takes arguments: @{bare}(...)")
        return None
    name = ast.unparse(node.func)
    if name in _HTTP:
        return "http", f"{name.upper()} {prefix}{_argument(node, 'path') or ''}"
    if name == "queue":
        return "queue", f"queue {folder}"
    if name == "dramatiq.actor":
        raise LoadError(f"{file}, line {node.lineno}: write @queue(Message) of shared/triggers.py instead of @{name}")
    if name == "schedule":
        return "schedule", f"every {_argument(node, 'every', positional=False)} s"
    if name == "command":
        return "command", f"eco2 import {_argument(node, 'name')}"
    return None


def _argument(node: ast.Call, name: str, *, positional: bool = True) -> object:
    candidates = [keyword.value for keyword in node.keywords if keyword.arg == name]
    candidates += node.args[:1] if positional else []
    if not candidates:
        return None
    try:
        return ast.literal_eval(candidates[0])
    except ValueError:
        return ast.unparse(candidates[0])


# Parsing every file of a service takes 20 ms of a start; a decorator at the beginning of a line can be seen without.
_HTTP_DECORATOR = re.compile(rf"^@({'|'.join(sorted(_HTTP))})\(", re.MULTILINE)


def _http_functions(service: Service) -> list[Function]:
    return [
        Function(service.folder, path.stem, "http", "", str(path.relative_to(ROOT)))
        for path in _files(service.path)
        if _HTTP_DECORATOR.search(path.read_text(encoding="utf-8-sig", errors="replace"))
    ]


def _import(function: Function) -> ModuleType:
    try:
        return importlib.import_module(function.module)
    except SyntaxError as error:
        raise LoadError(f"{error.filename}, line {error.lineno or 1}: {error.msg}") from None
    except ImportError as error:
        raise LoadError(f"{function.file} can't be imported: {error}") from error


def _pick(service: Service, functions: list[Function], only: str | None) -> list[Function]:
    if only is None:
        return functions
    names = [function.name for function in functions]
    if only not in names:
        raise LoadError(f"{service.name} has no such function: {only}{suggestion(only, names)}")
    return [function for function in functions if function.name == only]


def load_http(service: Service, only: str | None = None) -> list[HTTPRouteHandler]:
    """Import the HTTP functions of a service, or the one named `only`, and return their Litestar handlers.

    Raises:
        LoadError: a file can't be imported, or holds no handler under its own name.
    """
    from litestar.handlers import HTTPRouteHandler

    handlers = []
    routes = []
    for function in _pick(service, _http_functions(service), only):
        handler = getattr(_import(function), function.name, None)
        if not isinstance(handler, HTTPRouteHandler):
            raise LoadError(f"{function.file}: {function.name} is no Litestar handler but a {type(handler).__name__}")
        handlers.append(handler)
        routes += [(f"{method} {path}", function.file) for method in handler.http_methods for path in handler.paths]
    _no_route_twice(routes)
    return handlers


def load_queue_functions(service: Service, broker: dramatiq.Broker) -> dict[str, dramatiq.Actor[Any, Any]]:
    """Import the actors of a service and declare them on its broker.

    Raises:
        LoadError: a file can't be imported, or its actor listens on another service's queue.
    """
    actors = {}
    for function in discover(service):
        if function.trigger == "queue":
            actor: dramatiq.Actor[Any, Any] = getattr(_import(function), function.name)
            if actor.queue_name != service.folder:
                raise LoadError(f"{function.file}: its message goes to {actor.queue_name}, not to {service.folder}")
            actor.broker = broker
            broker.declare_actor(actor)
            actors[function.name] = actor
    return actors


def load_schedules(service: Service) -> dict[str, tuple[Schedule, Callable[..., Awaitable[None]]]]:
    """Import the schedule functions of a service: name to schedule and function."""
    found = {}
    for function in discover(service):
        if function.trigger == "schedule":
            target = getattr(_import(function), function.name)
            found[function.name] = (target.__eco2_schedule__, target)
    return found


def load_command(services: dict[str, Service], name: str) -> tuple[Service, Callable[..., Awaitable[int]]]:
    """The command function `name` and its service.

    Raises:
        LoadError: there is none; the message suggests the nearest.
    """
    wanted = f"eco2 import {name}"
    commands, broken = [], None
    for service in services.values():
        try:
            commands += [(service, function) for function in discover(service) if function.trigger == "command"]
        except LoadError as error:  # another service's file
            broken = error
    for service, function in commands:
        if function.where == wanted:
            return service, getattr(_import(function), function.name)
    if broken is not None:
        raise broken
    names = [f.where.rpartition(" ")[2] for _, f in commands]
    raise LoadError(f"there is nothing to import called {name}{suggestion(name, names)}")
