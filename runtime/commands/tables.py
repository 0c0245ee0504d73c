"""Tables on the terminal: as wide as it is, with ids and times shortened before anything is cut."""

import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


def show(
    rows: Sequence[dict[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str = "none", spare: str = ""
) -> None:
    """Print rows as a table for people, or as a JSON list for programs.

    Args:
        empty: what a person reads where there are no rows.
        spare: a column that a terminal goes without where a line would be too long.
    """
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(list(rows)), indent=2).decode())
        return
    if not rows:
        print(empty)
        return
    # A journal's times are text; people need no microseconds of either.
    table = [
        [str(row[c])[:19].replace("T", " ") if c.endswith("_at") and row.get(c) else _cell(row.get(c)) for c in columns]
        for row in rows
    ]
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        if spare and _length(table, columns) > width:
            place = columns.index(spare)
            columns = [*columns[:place], *columns[place + 1 :]]
            table = [[*line[:place], *line[place + 1 :]] for line in table]
        table = fitting(table, columns, width)
    widths = _widths(table, columns)
    for line in [[c.upper().replace("_", " ") for c in columns], *table]:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def fitting(table: list[list[str]], columns: Sequence[str], width: int) -> list[list[str]]:
    """The cells so that a line fits: ids by their end (their beginning is a time, and many have it), which is enough for
    `eco2 trace`; times without the date that all share, or without the year; then what is longest cut, never below 8 letters."""

    def fits() -> bool:
        return _length(table, columns) <= width

    if not fits():
        table = [[f"…{cell[-8:]}" if _ID.fullmatch(cell) else cell for cell in line] for line in table]
    if not fits():
        days = {cell[:10] for line in table for cell in line if _TIME.fullmatch(cell)}
        cut = 11 if len(days) == 1 else 5
        table = [[cell[cut:] if _TIME.fullmatch(cell) else cell for cell in line] for line in table]
    while table:
        over = _length(table, columns) - width
        longest = max(range(len(columns)), key=lambda i: max(len(line[i]) for line in table))
        least = max(8, len(columns[longest]))
        most = max(len(line[longest]) for line in table)
        if over <= 0 or most <= least:
            break
        to = max(most - over, least)
        for line in table:
            if len(line[longest]) > to:
                line[longest] = f"{line[longest][: to - 1]}…"
    return table


def _widths(table: list[list[str]], columns: Sequence[str]) -> list[int]:
    return [max([len(column), *(len(line[i]) for line in table)]) for i, column in enumerate(columns)]


def _length(table: list[list[str]], columns: Sequence[str]) -> int:
    return sum(_widths(table, columns)) + 2 * (len(columns) - 1)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d %H:%M:%S"))
    return str(value)
