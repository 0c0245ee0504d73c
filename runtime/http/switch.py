"""HTTP functions that an operator switched off (`eco2 function disable`): they answer 503 until they are enabled again.

The relay reads the setting every few seconds and calls `turn`; a handler asks for its own name, so the address is matched by
the router and by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.services import Service

# Folder to the functions that are off. Replaced as a whole, never changed in place.
off: dict[str, frozenset[str]] = {}


def turn(service: Service, names: Iterable[str]) -> None:
    """Have exactly the named functions (`folder/function`) of a service off; names of others are not its business."""
    global off
    found = frozenset(name.partition("/")[2] for name in names if name.startswith(service.folder + "/"))
    rest = {folder: functions for folder, functions in off.items() if folder != service.folder}
    off = rest | ({service.folder: found} if found else {})


def is_off(folder: str, name: str) -> bool:
    """Whether this function is switched off."""
    return name in off.get(folder, ())
