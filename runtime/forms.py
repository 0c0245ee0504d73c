"""A message's JSON as the Struct that its function takes, also where sender and taker are of two versions.

What a rolling deploy brings: a field that the message lacks has its default; one that this version does not know is kept
out, counted and said once. Both in one object look like a field that changed its name: to run with the default would
reinterpret it in silence, so the message is refused, and the relay brings the task again, perhaps to newer code.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Set
from typing import Any

import msgspec
from msgspec import Struct, inspect

log = logging.getLogger("eco2.worker")

# Names of unknown fields that are said, each once; a version that sends more is sending names of its own making.
_NAMES = 100


class Refused(Exception):
    """This version of the code can't read the message; the sentence says which field."""


class Form:
    """Reads the messages of one class. `unknown` counts the fields that were kept out."""

    def __init__(self, takes: type[Struct]) -> None:
        self.takes = takes
        self.unknown = 0
        self._known = _known(inspect.type_info(takes))
        # Most messages are of this version and hold no Struct within: they are read at the price of one comparison.
        self._names = self._known.names if self._known else frozenset()
        self._deep = tuple(self._known.inner) if self._known else ()
        self._said: set[str] = set()

    def read(self, fields: dict[str, Any]) -> Any:
        """The message.

        Raises:
            Refused: a field without a default is missing, has another type, or seems to have changed its name.
        """
        if not fields.keys() <= self._names:
            self._meet(fields)
        else:
            for name in self._deep:
                if fields.get(name):
                    self._meet(fields)
                    break
        try:
            return msgspec.convert(fields, self.takes)
        except msgspec.ValidationError as error:
            raise Refused(str(error)) from None

    def _meet(self, fields: dict[str, Any]) -> None:
        for where, unknown, missing in _strangers(self._known, fields, ""):
            if missing:
                raise Refused(f"{where}{', '.join(missing)} seems to be called {', '.join(unknown)} now")
            self.unknown += len(unknown)
            for name in sorted(unknown - self._said)[: _NAMES - len(self._said)]:
                self._said.add(name)
                log.warning("%s has a field that this version does not know: %s%s", self.takes.__name__, where, name)


class _Known(Struct):
    """The fields of a Struct by their names in JSON; those that hold Structs lead to theirs."""

    names: frozenset[str]
    inner: dict[str, _Known]


def _known(kind: inspect.Type) -> _Known | None:
    """The Struct that a type is, holds, or holds a list of."""
    if isinstance(kind, inspect.StructType):
        names = frozenset(field.encode_name for field in kind.fields)
        inner = {field.encode_name: known for field in kind.fields if (known := _known(field.type)) is not None}
        return _Known(names, inner)
    if isinstance(kind, inspect.UnionType):
        return next((known for one in kind.types if (known := _known(one)) is not None), None)
    if isinstance(kind, inspect.CollectionType):
        return _known(kind.item_type)
    return None


def _strangers(known: _Known | None, value: Any, where: str) -> Iterator[tuple[str, Set[str], Set[str]]]:
    """Each object with unknown fields: where it is, those, and the fields that it lacks."""
    if known is None:
        return
    if isinstance(value, list):
        for one in value:
            yield from _strangers(known, one, where)
    elif isinstance(value, dict):
        if not value.keys() <= known.names:
            yield where, value.keys() - known.names, known.names - value.keys()
        for name, inner in known.inner.items():
            if name in value:
                yield from _strangers(inner, value[name], f"{where}{name}.")
