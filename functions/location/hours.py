"""Opening hours as a machine can compare them, and the Korean calendar they mean.

A center's hours are a JSON object. Each of `mon` … `sun` and `holiday` holds spans `["09:00", "18:00"]` in Korean time;
`[]` is closed, `[["00:00", "24:00"]]` always. A span whose end is not after its start runs past midnight.
`note` holds the source's own text of the days that could not be read, or not in whole. Two more keys appear only where
they say something: `weeks` (`{"mon": [1, 3, 5]}`: those spans hold on the first, third and fifth Monday of a month) and
`unread` (days whose `[]` means "unknown", not "closed").
"""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
KEYS = (*DAYS, "holiday")
# Korea has kept UTC+9 without summer time since 1988; a fixed offset needs no time zone files in the container.
KST = dt.timezone(dt.timedelta(hours=9), "KST")

Time = Annotated[str, Meta(pattern=r"^([01]\d|2[0-4]):[0-5]\d$")]
Span = tuple[Time, Time]
Day = Annotated[
    Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"],
    Meta(title="Day", description="A day of the week, or a public holiday."),
]
ALWAYS: list[Span] = [("00:00", "24:00")]


class OperatingHours(Struct, kw_only=True):
    """Spans in Korean time: `[]` is closed, `[["00:00", "24:00"]]` always; an end before its start is past midnight.

    Attributes:
        mon, tue, wed, thu, fri, sat, sun: the spans of that day of the week.
        holiday: the spans of public holidays.
        note: the source's own text of the days that could not be read, or not in whole.
        weeks: where a day's spans hold in some weeks of the month alone: which, from 1, by the day's name.
        unread: days of which nothing is known: their `[]` does not mean closed.
    """

    mon: list[Span]
    tue: list[Span]
    wed: list[Span]
    thu: list[Span]
    fri: list[Span]
    sat: list[Span]
    sun: list[Span]
    holiday: list[Span]
    note: str = ""
    weeks: dict[str, list[Annotated[int, Meta(ge=1, le=5)]]] | UnsetType = UNSET
    unread: list[Day] | UnsetType = UNSET


@dataclass(frozen=True)
class Moment:
    """An instant on the Korean calendar, as `db.py` compares it.

    The key of this day and of the day before (whose late spans may still run), the occurrence of each weekday in its
    month, and the wall clock as `HH:MM`.
    """

    day: str
    week: int
    eve: str
    eve_week: int
    clock: str

    def minutes(self) -> str:
        """Its numbers among a center's `open_spans` (0008_open_spans.sql), as PostgreSQL reads a multirange.

        Today's minute, and the same of a span of the day before that runs past midnight; of every week, and of this one.
        """
        hour, minute = map(int, self.clock.split(":"))
        of_day = hour * 60 + minute
        numbers = [
            (week * len(KEYS) + KEYS.index(day)) * 2 * 1440 + past
            for day, occurrence, past in ((self.day, self.week, of_day), (self.eve, self.eve_week, 1440 + of_day))
            for week in (0, occurrence)
        ]
        return f"{{{', '.join(f'[{number},{number}]' for number in numbers)}}}"


def moment(at: dt.datetime) -> Moment:
    """What an instant is in Korea: a public holiday counts as `holiday`, whatever its weekday."""
    local = at.astimezone(KST)
    today, eve = local.date(), local.date() - dt.timedelta(days=1)
    return Moment(_key(today), _occurrence(today), _key(eve), _occurrence(eve), local.strftime("%H:%M"))


def is_holiday(day: dt.date) -> bool:
    """Whether a day is a public holiday in Korea, substitute, temporary and election days included."""
    return day in _public_holidays(day.year)


@lru_cache(maxsize=16)
def _public_holidays(year: int) -> frozenset[dt.date]:
    # The import takes 0.1 s and 10 MB, and only `open_at` needs it.
    from holidays import country_holidays

    return frozenset(country_holidays("KR", years=year))


def _key(day: dt.date) -> str:
    return "holiday" if is_holiday(day) else DAYS[day.weekday()]


def _occurrence(day: dt.date) -> int:
    return (day.day - 1) // 7 + 1
