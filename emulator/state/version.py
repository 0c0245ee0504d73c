"""Which form a state folder, a snapshot or an export has, and which ones this code reads."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from emulator.process import StartError

# 1: that of 0.1.0, which said nothing of it. 2: snapshots have a manifest; the broker's file is a folder.
FORMAT = 2


def mark() -> dict[str, Any]:
    """What is written beside the state."""
    try:
        own = version("eco2")
    except PackageNotFoundError:  # run from the checkout, not installed
        own = "unknown"
    return {"format": FORMAT, "eco2": own}


def check(found: Any, what: str) -> int:
    """The form that was found (1 where nothing was said). StartError when this code is too old for it."""
    number = 1 if found is None else found
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise StartError(f"{what} says a format that does not exist: {number!r}; it is damaged")
    if number > FORMAT:
        raise StartError(
            f"{what} was made by a newer Eco² (format {number}, this one reads up to {FORMAT}): update this checkout first"
        )
    return number
