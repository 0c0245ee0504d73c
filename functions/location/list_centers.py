"""Collection centers: the nearest to a point, or those inside a map view."""

import asyncio
import datetime as dt
import math
import re
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import QueryParameter
from msgspec import Struct

from functions.location import db as sql
from functions.location import hours
from shared.errors import BadInput
from shared.http import Db, problems
from shared.text import NO_NUL

RADIUS = 5_000.0
LARGEST_RADIUS = 50_000.0
LIMIT = 20
# What a telephone's map can show; the centers nearest to its middle.
MAP_LIMIT = 500


class Centers(Struct):
    """The centers found, in one page.

    Attributes:
        items: the nearest first.
        truncated: whether there are more than these: move closer, or narrow the filter.
        next_cursor: null: there is no other page.
    """

    items: list[sql.FoundCenter]
    truncated: bool
    next_cursor: None = None


@get("/centers", responses=problems(BadInput), summary="Find collection centers near a point or in a map view")
async def list_centers(
    db: Db,
    lat: Annotated[float | None, QueryParameter(ge=-90, le=90, description="Degrees north; with `lon`.")] = None,
    lon: Annotated[float | None, QueryParameter(ge=-180, le=180, description="Degrees east; with `lat`.")] = None,
    radius_m: Annotated[
        float | None, QueryParameter(gt=0, le=LARGEST_RADIUS, description="Metres around the point; 5000 if not given.")
    ] = None,
    bbox: Annotated[
        str | None,
        QueryParameter(max_length=200, description="minlon,minlat,maxlon,maxlat in degrees, instead of a point."),
    ] = None,
    limit: Annotated[
        int | None, QueryParameter(ge=1, le=100, description="At most so many; 20 if not given, 500 for a map view.")
    ] = None,
    open_at: Annotated[
        str | None,
        QueryParameter(format="date-time", description="Only those open then, by Korean time and public holidays."),
    ] = None,
    item: Annotated[
        str | None,
        QueryParameter(
            min_length=1, max_length=100, pattern=NO_NUL, description="Only those that take this waste type or item."
        ),
    ] = None,
) -> Centers:
    # Off the event loop: the first of a process imports the calendar, which takes a quarter of a second.
    wanted = sql.Wanted(None if open_at is None else await asyncio.to_thread(hours.moment, _time(open_at)))
    if item is not None:
        from functions.location import items  # here: its expressions take 5 ms of every start

        wanted.types, wanted.word = items.wanted(item), " ".join(item.split())
    if bbox is not None:
        for name, value in (("lat", lat), ("lon", lon), ("radius_m", radius_m)):
            if value is not None:
                raise BadInput(name, "give either a point or a bbox, not both")
        box, limit = _box(bbox), limit or MAP_LIMIT
        async with db.transaction() as conn:
            found = await sql.select_inside(conn, box, wanted, limit + 1)
    else:
        point = _finite("lat", lat), _finite("lon", lon)
        radius, limit = _finite("radius_m", radius_m or RADIUS), limit or LIMIT
        async with db.connection() as conn:
            found = await sql.select_nearest(conn, *point, radius, wanted, limit + 1)
    return Centers(found[:limit], truncated=len(found) > limit)


def _finite(name: str, value: float | None) -> float:
    if value is None:
        raise BadInput(name, "is required, unless there is a bbox")
    if not math.isfinite(value):
        raise BadInput(name, "is no number")
    # A tenth of a millimetre; and PostgreSQL's trigonometry refuses numbers so small that they have no square.
    return round(value, 9)


def _box(text: str) -> tuple[float, float, float, float]:
    """West, south, east, north.

    Raises:
        BadInput: when it is not a box with an inside; one over the date line is two boxes.
    """
    parts = text.split(",")
    if len(parts) != 4 or not all(re.fullmatch(r"\s*-?\d{1,3}(\.\d{1,15})?\s*", part, re.ASCII) for part in parts):
        raise BadInput("bbox", "give four numbers: minlon,minlat,maxlon,maxlat")
    west, south, east, north = map(float, parts)
    if abs(west) > 180 or abs(east) > 180:
        raise BadInput("bbox", "longitudes lie between -180 and 180; the order is minlon,minlat,maxlon,maxlat")
    if abs(south) > 90 or abs(north) > 90:
        raise BadInput("bbox", "latitudes lie between -90 and 90; the order is minlon,minlat,maxlon,maxlat")
    if west >= east or south >= north:
        raise BadInput("bbox", "nothing lies inside: minlon must be less than maxlon, minlat less than maxlat")
    return west, south, east, north


def _time(text: str) -> dt.datetime:
    """An instant.

    Raises:
        BadInput: when it is none, has no time zone, or lies beyond the calendar.
    """
    try:
        # A + that was not escaped arrives as a space.
        at = msgspec.convert(re.sub(r" (?=\d\d:\d\d$)", "+", text), dt.datetime)
    except msgspec.ValidationError:
        raise BadInput("open_at", "give a time such as 2026-01-02T03:04:05Z") from None
    if at.tzinfo is None:
        raise BadInput("open_at", "say the time zone, as in 2026-01-02T03:04:05Z or 2026-01-02T12:04:05+09:00")
    if not 2000 <= at.year <= 2099:
        raise BadInput("open_at", "the calendar of public holidays reaches from 2000 to 2099")
    return at
