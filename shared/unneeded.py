"""Imports libraries without what they bring along and no process of ours uses."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


class _Empty(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None  # for `from ... import`


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Whoever imports one of these modules meanwhile gets an empty one, unless it was there before; later ones the real one."""
    put = [name for name in names if name not in sys.modules]
    sys.modules.update({name: _Empty(name) for name in put})
    try:
        yield
    finally:
        for name in put:
            del sys.modules[name]
