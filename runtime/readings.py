"""What code was found to mean, to import and to be as a function, kept in build/ from one command to the next: to parse 300
files takes a second.

An entry is named by a digest of the code itself, and all of them by one of the modules that read it: nothing goes stale.
"""

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from runtime.loader import Function

T = TypeVar("T")


class Import(Struct, frozen=True):
    """One import: the module's name, whether all below it may be meant, and whether it waits inside a function."""

    name: str
    whole: bool = False
    lazy: bool = False


class Kept(Struct):
    """The file's contents: digests of meanings, imports, and functions, each by a digest of the code."""

    readers: str
    meanings: dict[str, str] = {}
    imports: dict[str, list[Import]] = {}
    functions: dict[str, Function | None] = {}


class Readings:
    """The readings of the checkout at `root`; `readers` are the files of the modules that make them."""

    def __init__(self, root: Path, *readers: str) -> None:
        self._file = root / "build/readings.msgpack"
        self._readers = _name(sys.version, *(Path(file).read_text(encoding="utf-8") for file in readers))
        self._before = self._read()
        self._now = Kept(self._readers)

    def _read(self) -> Kept:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found = msgspec.msgpack.decode(self._file.read_bytes(), type=Kept)
            if found.readers == self._readers:
                return found
        return Kept(self._readers)

    def meaning(self, code: str, read: Callable[[str], str]) -> str:
        """What some code means: as it was read before, else as `read` reads it."""
        return _found(_name(code), self._before.meanings, self._now.meanings, lambda: read(code))

    def imports(
        self, code: str, package: str, dynamic: bool, read: Callable[[str, str, bool], list[Import]]
    ) -> list[Import]:
        """What some code of a package imports, likewise."""
        name = _name(code, package, str(dynamic))
        return _found(name, self._before.imports, self._now.imports, lambda: read(code, package, dynamic))

    def function(self, code: str, file: str, prefix: str, read: Callable[[], Function | None]) -> Function | None:
        """The function that a file of a service with that prefix holds, likewise."""
        return _found(_name(code, file, prefix), self._before.functions, self._now.functions, read)

    def keep(self) -> None:
        """Write down what was asked for, where some of it was new; what was not asked for is forgotten."""
        now, before = self._now, self._before
        tables = ((now.meanings, before.meanings), (now.imports, before.imports), (now.functions, before.functions))
        if all(found.keys() <= known.keys() for found, known in tables):
            return
        self._before = self._now
        with contextlib.suppress(OSError):  # a checkout that can't be written to is read anew each time
            self._file.parent.mkdir(exist_ok=True)
            own = self._file.with_suffix(f".{os.getpid()}")
            own.write_bytes(msgspec.msgpack.encode(self._now))
            own.replace(self._file)


def _found(name: str, before: dict[str, T], now: dict[str, T], read: Callable[[], T]) -> T:
    if name not in now:
        now[name] = before[name] if name in before else read()
    return now[name]


def _name(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:32]
