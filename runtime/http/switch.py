"""HTTP functions that an operator switched off (`eco2 function disable`): they answer 503 until they are enabled again.

The relay reads the setting every few seconds and calls `turn`; the edge asks `is_off` only while anything is off at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.services import Service

# Folder to method and address of each function that is off. Replaced as a whole, never changed in place.
off: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


def turn(service: Service, names: Iterable[str]) -> None:
    """Have exactly the named functions (`folder/function`) of a service off; names of others are not its business."""
    global off
    from runtime.loader import discover

    wanted = {name.partition("/")[2] for name in names if name.startswith(service.folder + "/")}
    found = []
    if wanted:
        for function in discover(service):
            if function.trigger == "http" and function.name in wanted:
                method, _, template = function.where.partition(" ")
                address = "".join(
                    "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", template)
                )
                found.append((method, re.compile(address.rstrip("/") + "/?")))
    rest = {folder: functions for folder, functions in off.items() if folder != service.folder}
    off = rest | ({service.folder: found} if found else {})


def is_off(folder: str, method: str, path: str) -> bool:
    """Whether the function behind this request is switched off."""
    return any(method == verb and address.fullmatch(path) for verb, address in off.get(folder, ()))
