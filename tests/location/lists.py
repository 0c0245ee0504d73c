"""Makes files in the columns of the public list."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Literal

COLUMNS = [
    *("positnSn", "positnNm", "positnRgnNm", "positnLotnoAddr", "positnRdnmAddr", "positnPstnAddExpln"),
    *("positnPstnLat", "positnPstnLot", "positnIntdcCn", "monSalsHrExplnCn", "tuesSalsHrExplnCn", "wedSalsHrExplnCn"),
    *("thurSalsHrExplnCn", "friSalsHrExplnCn", "satSalsHrExplnCn", "sunSalsHrExplnCn", "lhldySalsHrExplnCn"),
    *("bscTelnoCn", "rprsTelnoCn", "clctItemCn"),
]
DAYS = [column for column in COLUMNS if "SalsHr" in column]


def row(serial: int, name: str, **cells: str) -> dict[str, str]:
    """A row with nothing wrong in it, except what is said."""
    place = {
        "positnRdnmAddr": f"서울특별시 중구 세종대로 {serial}",
        "positnPstnLat": "37.5663",
        "positnPstnLot": "126.9779",
    }
    hours = dict.fromkeys(DAYS[:5], "09:00~18:00") | dict.fromkeys(DAYS[5:], "휴무")
    rest = {"positnRgnNm": "중구", "bscTelnoCn": "02-2133-0000", "clctItemCn": "투명페트병\n캔"}
    return {"positnSn": str(serial), "positnNm": name, **place, **hours, **rest, **cells}


def as_csv(
    rows: Iterable[Mapping[str, str]], *, columns: list[str] = COLUMNS, encoding: str = "utf-8", newline: str = "\n"
) -> bytes:
    out = io.StringIO(newline="")
    # Python quotes a line feed only where it is part of the line's end.
    quoting: Literal[0, 1] = csv.QUOTE_MINIMAL if "\n" in newline else csv.QUOTE_ALL
    writer = csv.DictWriter(out, columns, restval="", extrasaction="ignore", lineterminator=newline, quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode(encoding)
