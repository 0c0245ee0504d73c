"""Rows of a CSV file as it really comes: whatever is wrong with one row is said of that row, and the others are read.

Python's own parser is asked for one record at a time. Where it fails, or a record has another number of cells than the
header, the rows that a missing quotation mark has swallowed are looked for and given back.
"""

import csv
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

# Bytes that could not be decoded appear in the text as these.
BROKEN = re.compile("[\udc80-\udcff\ufffd\0]")
_MAGIC = {
    b"PK\x03\x04": "an Excel workbook or another ZIP archive: save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook: save it as CSV",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\xff\xfe": "UTF-16 text: save it as UTF-8",
    b"\xfe\xff": "UTF-16 text: save it as UTF-8",
    b"<!DO": "a web page",
    b"<htm": "a web page",
    b"<met": "a web page",
    b"<tab": "a web page",
    b"<?xm": "an XML document",
    b"{": "JSON",
    b"[": "JSON",
}
_NUMBERED = re.compile(r'\s*"?\d+"?,')
# The header is looked for in so many lines: a title or Excel's «sep=,» may be above it.
_TITLES = 10
# A record longer than that is not looked through for swallowed rows any further.
_SEARCHED = 500


class FileError(Exception):
    """The file as a whole can't be used; the message is one line for the person who gave it."""


class Row(Struct):
    """A row by column names; `line` is the line of the file where it begins, counted from 1."""

    line: int
    cells: dict[str, str]


class BadRow(Struct):
    """A row that can't be read: the column where it goes wrong, or `row`, and why."""

    line: int
    field: str
    reason: str


class Table(Struct):
    """A file's columns that are known, its encoding, and its lines behind the header."""

    columns: list[str]
    encoding: str
    lines: list[str]
    first: int  # index of the first line behind the header
    numbered: bool  # whether rows begin with a serial number


def decode(data: bytes) -> tuple[str, str]:
    """The text and its encoding: UTF-8 with or without BOM, CP949, or lines of both. A few broken bytes stay, as surrogates.

    Raises:
        FileError: it is not text, or in another encoding.
    """
    if not data.strip():
        raise FileError("is empty")
    start = data.lstrip()[:4].lower()
    for magic, what in _MAGIC.items():
        if start.startswith(magic.lower()) or data.startswith(magic):
            raise FileError(f"is {what}")
    if data.count(b"\0") > len(data) // 200:
        raise FileError("is no text but a binary file")
    plain = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return _checked(plain.decode("utf-8"), "UTF-8" if plain is data else "UTF-8 with BOM")
    except UnicodeDecodeError:
        pass
    candidates = [
        (plain.decode(codec, "surrogateescape"), name) for codec, name in (("utf-8", "UTF-8"), ("cp949", "CP949"))
    ]
    text, name = min(candidates, key=lambda each: len(BROKEN.findall(each[0])))
    broken, foreign = len(BROKEN.findall(text)), sum(char > "\x7f" for char in text)
    if broken > 8 and broken * 10 > foreign:
        if (mixed := _decoded_by_line(plain)) is None:
            raise FileError("is neither UTF-8 nor CP949 text")
        text, name = mixed, "UTF-8 and CP949"
    return _checked(text, name)


def _decoded_by_line(data: bytes) -> str | None:
    """The text where each line is whole in one of the two encodings, as after joining two files; else None."""
    lines = []
    for line in data.split(b"\n"):
        for codec in ("utf-8", "cp949"):
            try:
                lines.append(line.decode(codec))
                break
            except UnicodeDecodeError:
                continue
        else:
            return None
    return "\n".join(lines)


def _checked(text: str, encoding: str) -> tuple[str, str]:
    controls = sum(char < " " and char not in "\t\r\n\f\v" for char in text)
    if controls * 50 > len(text):
        raise FileError("is no text but a binary file")
    return text, encoding


def open_table(data: bytes, known: Sequence[str], needed: Sequence[Sequence[str]]) -> Table:
    """Find the header.

    Args:
        data: the file's content.
        known: the names of all columns that mean something; others are passed over.
        needed: groups of columns, of each of which one must be there.

    Raises:
        FileError: the file is none of this kind; the message says what it seems to be instead.
    """
    text, encoding = decode(data)
    lines = re.findall(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+", text)
    first = next((i for i, line in enumerate(lines) if line.strip()), None)
    if first is None:
        raise FileError("is empty")
    record, used = _record(lines, first)
    for at in range(first, min(first + _TITLES, len(lines))):
        below, taken = _record(lines, at)
        if sum(_column(cell, known) in known for cell in below or []) >= 2:
            first, record, used = at, below, taken
            break
    columns = [_column(cell, known) for cell in record or []]
    found = [column for column in columns if column in known]
    if len(found) < 2:
        for delimiter, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")):
            others = [_column(cell, known) for cell in lines[first].split(delimiter)]
            if sum(column in known for column in others) >= 2:
                raise FileError(f"has its columns separated by {name}: save it with commas")
        if record is None:
            raise FileError("has a header with a quotation mark that is not closed")
        raise FileError(f"has no header with the columns {', '.join(group[0] for group in needed)} in its first line")
    if double := sorted({column for column in found if found.count(column) > 1}):
        raise FileError(f"has the column {double[0]} twice")
    for group in needed:
        if not set(group) & set(found):
            raise FileError(f"has no column {' or '.join(group)}")
    at = first + used
    return Table(columns, encoding, lines, at, at < len(lines) and _NUMBERED.match(lines[at]) is not None)


def _column(cell: str, known: Sequence[str]) -> str:
    plain = cell.strip().strip("\ufeff\u200b\"' ")
    folded = {name.casefold(): name for name in known}
    return folded.get(plain.casefold(), plain)


def rows(table: Table) -> Iterator[Row | BadRow]:
    """Every row in the file's order; empty lines are none."""
    width, lines, at = len(table.columns), table.lines, table.first
    while at < len(lines):
        record, used = _record(lines, at)
        if record is not None and not any(cell.strip() for cell in record) and len(record) < 2:
            at += used
            continue
        if record is not None and len(record) > width and not any(cell.strip() for cell in record[width:]):
            record = record[:width]  # commas at the end of a row say nothing
        if record is not None and len(record) == width and not _swallowed(record, width):
            if any(cell.strip() for cell in record):
                yield Row(at + 1, dict(zip(table.columns, record, strict=True)))
            else:
                yield BadRow(at + 1, "row", "every cell is empty")
            at += used
            continue
        after = _next_row(lines, at, used, width)
        if table.numbered:
            # Pieces of the same damaged row, up to the next line that begins with a number as rows do.
            while after < len(lines) and not _NUMBERED.match(lines[after]):
                after += 1
        # The first cell that is missing says most about a row that stops too early.
        short = record is not None and len(record) < width
        field = table.columns[len(record or [])] if short else "row"
        yield BadRow(at + 1, field or "row", _reason(record, width, at + used >= len(lines), after - at))
        at = after


def _record(lines: Sequence[str], at: int) -> tuple[list[str] | None, int]:
    """The record that begins at a line, and how many lines it takes; None where its quotation marks do not match."""
    reader = csv.reader(map(lines.__getitem__, range(at, len(lines))), strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return None, max(1, reader.line_num)
    except StopIteration:
        return [], 1


def _swallowed(record: Sequence[str], width: int) -> bool:
    """Whether a cell of several lines holds what looks like further rows."""
    return any(line.count(",") > width // 2 for cell in record if "\n" in cell for line in cell.splitlines())


def _next_row(lines: Sequence[str], at: int, used: int, width: int) -> int:
    """Where to go on after a bad record: the first line inside it that begins a whole row, or the line after it."""
    end = min(at + used, len(lines))
    for candidate in range(at + 1, min(end, at + _SEARCHED)):
        record, _ = _record(lines, candidate)
        if record is not None and len(record) == width and not _swallowed(record, width):
            return candidate
    return min(end, at + _SEARCHED)


def _reason(record: Sequence[str] | None, width: int, at_end: bool, lines: int) -> str:
    if record is None or len(record) == width:
        if at_end and record is None:
            return "the file ends inside a quoted cell: it is cut short, or a quotation mark is missing"
        return "its quotation marks do not match" + (f" ({lines} lines passed over)" if lines > 1 else "")
    passed = f" ({lines} lines passed over)" if lines > 1 else ""
    if len(record) < width:
        end = "; the file ends here: it may be cut short" if at_end else ""
        return f"it has {len(record)} cells where the header has {width}{end}{passed}"
    return f"it has {len(record)} cells where the header has {width}: is a cell with a comma not quoted?{passed}"
