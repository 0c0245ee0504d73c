"""The table of faults: each row is a function that takes a system, makes its fault, and checks what must hold."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tests.faults.system import System

Run = Callable[[System], dict[str, Any] | None]


class Row(Struct, frozen=True):
    """`needs` names a program that the fault can't be made without."""

    number: int
    fault: str
    passes: str
    run: Run


ROWS: dict[int, Row] = {}


def row(number: int, fault: str, passes: str) -> Callable[[Run], Run]:
    """Enter a function into the table."""

    def enter(run: Run) -> Run:
        if number in ROWS:
            raise ValueError(f"two rows have the number {number}: {ROWS[number].fault}; {fault}")
        ROWS[number] = Row(number, fault, passes, run)
        return run

    return enter
