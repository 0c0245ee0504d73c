"""CSV files as they really come"""

import pytest

from functions.location import csv_rows, keco
from functions.location.csv_rows import BadRow, FileError, Row
from tests.location.lists import COLUMNS, as_csv, row
from tests.support import table

ROWS = [row(n, f"곳 {n}", positnIntdcCn=f"첫 줄\n둘째 줄, {n}\n「셋째」") for n in range(1, 8)]
GOOD = as_csv(ROWS)


def read(data: bytes) -> list[Row | BadRow]:
    return list(csv_rows.rows(csv_rows.open_table(data, keco.COLUMNS, keco.NEEDED)))


def names(data: bytes) -> list[str]:
    return [each.cells["positnNm"] for each in read(data) if isinstance(each, Row)]


def bad(data: bytes) -> list[BadRow]:
    return [each for each in read(data) if isinstance(each, BadRow)]


ALL = [f"곳 {n}" for n in range(1, 8)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_line_ends_do_not_matter(encoding: str, newline: str) -> None:
    data = as_csv(ROWS, encoding=encoding, newline=newline)
    assert names(data) == ALL
    assert bad(data) == []


def test_a_row_s_line_is_where_it_begins_in_the_file() -> None:
    # Each row has a cell of three lines and one of two.
    assert [each.line for each in read(GOOD)] == [2, 6, 10, 14, 18, 22, 26]


def test_columns_may_stand_in_another_order_be_missing_or_unknown() -> None:
    assert names(as_csv(ROWS, columns=[*reversed(COLUMNS), "새열"])) == ALL
    assert names(as_csv(ROWS, columns=["positnNm", "positnLotnoAddr"])) == ALL
    assert names(GOOD.replace(b"positnNm", b" POSITNNM ")) == ALL


def test_empty_lines_are_no_rows_and_rows_of_commas_are_bad_ones() -> None:
    assert names(b"\n\n" + GOOD + b"\n\r\n") == ALL
    assert [each.reason for each in bad(GOOD + b"," * (len(COLUMNS) - 1) + b"\n")] == ["every cell is empty"]


def test_empty_cells_beyond_the_last_column_say_nothing() -> None:
    data = as_csv([row(n, f"곳 {n}", clctItemCn="캔") for n in range(1, 8)])
    assert names(data.replace(b"\xba\x94\n", b"\xba\x94,,\n")) == ALL


@pytest.mark.parametrize(
    ("row_text", "field"),
    [("8,짧은 곳,중구", "positnLotnoAddr"), ("8,긴 곳" + ",x" * 30, "row")],
)
def test_a_row_with_too_few_or_too_many_cells_is_bad_by_itself(row_text: str, field: str) -> None:
    middle = GOOD.index("3,곳 3".encode())
    data = GOOD[:middle] + row_text.encode() + b"\n" + GOOD[middle:]
    assert names(data) == ALL
    assert [(each.line, each.field) for each in bad(data)] == [(10, field)]
    assert "cells where the header has 20" in bad(data)[0].reason


@pytest.mark.parametrize("nth", range(28))
def test_a_missing_quotation_mark_costs_one_row_at_most_two(nth: int) -> None:
    at = -1
    for _ in range(nth + 1):
        at = GOOD.index(b'"', at + 1)
    data = GOOD[:at] + GOOD[at + 1 :]
    lost = set(ALL) - set(names(data))
    assert len(lost) <= 2
    assert bad(data)
    assert len(names(data)) + len(lost) == len(ALL)


@pytest.mark.parametrize("cut", [30, 60, 100, 250, 251, 252, 253])
@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
def test_a_file_cut_short_gives_what_is_whole_and_says_so(cut: int, encoding: str) -> None:
    data = as_csv(ROWS, encoding=encoding)[:-cut]
    found = names(data)
    assert found == ALL[: len(found)]
    assert len(found) >= 5
    assert bad(data)[-1].line == 2 + 4 * len(found)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\n\n", "empty"),
        (b"PK\x03\x04" + b"\0" * 50, "Excel"),
        (b"%PDF-1.7", "PDF"),
        (bytes(range(1, 32)) * 8, "binary"),
        (b"\x00\x01\x02\x03" * 100, "binary"),
        (GOOD.decode().encode("utf-16"), "UTF-16"),
        (GOOD.replace(b",", b";"), "semicolons"),
        (GOOD.replace(b",", b"\t"), "tabs"),
        (b"<html><body>404</body></html>", "web page"),
        (b"name,address\na,b\n", "header"),
        (GOOD[GOOD.index(b"\n") + 1 :], "header"),
        (as_csv(ROWS, columns=["positnNm", "positnSn"]), "positnRdnmAddr"),
        (as_csv(ROWS, columns=["positnSn", "positnRdnmAddr"]), "positnNm"),
        (GOOD.replace(b"positnSn", b"positnNm", 1), "twice"),
        (b"positnNm,positnSn\n" + b"\xff\xf5" * 99, "neither UTF-8 nor CP949"),
    ],
)
def test_a_file_of_another_kind_is_refused_as_what_it_is(data: bytes, says: str) -> None:
    with pytest.raises(FileError, match=says):
        read(data)


@pytest.mark.parametrize(
    ("end", "line", "reason"),
    [
        ('3,4,"x\ny\nz', 3, "the file ends inside a quoted cell: it is cut short, or a quotation mark is missing"),
        ('3,4,"x', 3, "the file ends inside a quoted cell: it is cut short, or a quotation mark is missing"),
        ("3,4", 3, "it has 2 cells where the header has 3; the file ends here: it may be cut short"),
        ('3,4,"x"y\n5,6,7\n', 3, "its quotation marks do not match"),
    ],
)
def test_where_a_file_is_cut_is_told_as_that(end: str, line: int, reason: str) -> None:
    opened = csv_rows.open_table(f"a,b,c\n1,2,3\n{end}".encode(), ("a", "b", "c"), [("a",)])
    found = [one for one in csv_rows.rows(opened) if isinstance(one, BadRow)]
    assert [(one.line, one.reason) for one in found][:1] == [(line, reason)]


def test_a_few_broken_bytes_do_not_make_it_another_encoding() -> None:
    data = GOOD.replace("곳 3".encode(), b"\xea\xb3 3")
    rows = read(data)
    assert len(rows) == 7
    assert names(data)[0] == "곳 1"
    with pytest.raises(keco.Rejected, match="no text"):
        keco.read(next(each.cells for each in rows if isinstance(each, Row) and each.cells["positnSn"] == "3"))


def test_each_file_of_the_table_has_the_rows_that_stand_beside_it() -> None:
    """Where a comma, a quotation mark or a line more makes other rows of it, or none."""
    for file, wanted in table(__file__, "files.tsv"):
        text = file.replace("\\n", "\n").replace("\\t", "\t")
        try:
            opened = csv_rows.open_table(text.encode(), ("a", "b", "c"), [("a",), ("b", "c")])
            found = "  ".join(
                f"{one.line}!{one.field}" if isinstance(one, BadRow) else f"{one.line}={'|'.join(one.cells.values())}"
                for one in csv_rows.rows(opened)
            )
        except FileError as error:
            found = str(error)
        assert (found.replace("\n", "\\n") or "-") == wanted, file


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"a,b\n" + b"\0" * 2 + b"x" * 396, "UTF-8"),
        (b"a,b\n" + b"\0" * 3 + b"x" * 396, None),
        (b"a\x01" + b"b" * 48, "UTF-8"),
        (b"a\x01" + b"b" * 47, None),
        (b"\xff" * 8, "UTF-8"),
        (b"\xff" * 9, None),
        (b"\xff" * 9 + "가".encode() * 81, "UTF-8"),
        (b"\xff" * 9 + "가".encode() * 80, None),
        (b"%pdf", None),
        (b"  <HTML>", None),
        (b"\xfe\xff\0a", None),
    ],
)
def test_a_few_broken_bytes_are_no_reason_to_refuse_a_file_and_more_are(content: bytes, encoding: str | None) -> None:
    if encoding is None:
        with pytest.raises(FileError):
            csv_rows.decode(content)
    else:
        assert csv_rows.decode(content)[1] == encoding


def test_each_day_of_the_week_and_the_holidays_have_a_column_of_their_own() -> None:
    assert list(keco.HOURS) == ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"]
    assert len(set(keco.COLUMNS)) == len(keco.COLUMNS)
    assert set(keco.HOURS.values()) < set(keco.COLUMNS)
