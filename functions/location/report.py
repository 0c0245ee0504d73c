"""What an import says of itself: a bar while it runs, and a report, as counts with details or as a table for a person."""

import shutil
import textwrap
import time
import unicodedata
from typing import Literal, Self, TextIO

from msgspec import Struct

_BAR = 30
# Seconds between two pictures of the bar.
_EVERY = 0.05
_WIDEST = 160


class Detail(Struct):
    """What was done to a row: `line` is where it begins in the file, `field` the column, or `row`."""

    line: int
    field: str
    action: Literal["repaired", "rejected"]
    reason: str


class Report(Struct):
    """What an import did: loaded + updated + unchanged + rejected = rows; `repaired` counts rows among the first three;
    `missing` are columns that the file does not have, so that what is known of them stays.
    """

    rows: int = 0
    loaded: int = 0
    updated: int = 0
    unchanged: int = 0
    repaired: int = 0
    rejected: int = 0
    missing: list[str] = []
    details: list[Detail] = []


class Progress:
    """A bar on one line of a terminal; elsewhere a plain line every few seconds, none for what is done sooner."""

    def __init__(self, out: TextIO, every_line: float = 3.0) -> None:
        """`every_line`: seconds between two lines where there is no terminal."""
        self._out = out
        self._on = out.isatty()
        self._every = _EVERY if self._on else every_line
        self._next = 0.0 if self._on else time.monotonic() + every_line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def show(self, doing: str, done: int, of: int) -> None:
        now = time.monotonic()
        if now < self._next and (done < of or not self._on):
            return
        self._next = now + self._every
        if self._on:
            filled = _BAR * done // max(of, 1)
            self._out.write(f"\r{doing} [{'#' * filled}{'.' * (_BAR - filled)}] {done}/{of}\x1b[K")
        else:
            self._out.write(f"{doing} {done}/{of}\n")
        self._out.flush()

    def clear(self) -> None:
        """Take the bar off the screen."""
        if self._on:
            self._out.write("\r\x1b[K")
            self._out.flush()


def table(name: str, report: Report) -> str:
    """The report as text: the counts, then each repair and rejection, rows with the same one together."""
    counts = [
        f"{report.loaded} loaded, {report.updated} updated, {report.unchanged} unchanged, {report.rejected} rejected"
    ]
    counts += [f"{report.repaired} of them repaired"] if report.repaired else []
    text = [f"{name}: {report.rows} rows: {'; '.join(counts)}", ""]
    if report.missing:
        text += [f"no column {', '.join(report.missing)}: what is known of it stays as it is", ""]
    grouped: dict[tuple[str, str, str], list[int]] = {}
    for detail in report.details:
        grouped.setdefault((detail.action, detail.field, detail.reason), []).append(detail.line)
    rows = [(_lines(lines), field, action, reason) for (action, field, reason), lines in grouped.items()]
    if rows:
        # What was rejected is what a person must look at.
        rows.sort(key=lambda row: row[2])
        text += _columns([("line", "field", "action", "reason"), *rows])
    return "\n".join(text).rstrip() + "\n"


def _lines(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:4]))
    return shown if len(lines) <= 4 else f"{shown} and {len(lines) - 4} more"


def _columns(rows: list[tuple[str, str, str, str]]) -> list[str]:
    widths = [max(_width(row[column]) for row in rows) for column in range(3)]
    indent = sum(widths) + 6
    room = max(40, min(shutil.get_terminal_size((_WIDEST, 24)).columns, _WIDEST) - indent)
    text = []
    for *cells, reason in rows:
        start = "  ".join(_padded(cell, width) for cell, width in zip(cells, widths, strict=True))
        # Hangul is two columns wide, and most reasons are half of it.
        first, *more = textwrap.wrap(reason, room * 3 // 4) or [""]
        text += [f"{start}  {first}", *(" " * indent + line for line in more)]
    return text


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
