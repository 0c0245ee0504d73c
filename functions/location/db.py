"""The SQL of location: people's places, and the collection centers near them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from psycopg.errors import UniqueViolation
from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from functions.location.hours import Moment, OperatingHours
from functions.location.places import Latitude, Longitude
from shared.db import Connection, tried
from shared.errors import Busy
from shared.fields import Time
from shared.pages import row_behind
from shared.together import later
from shared.waste_types import WasteType

# earthdistance reckons on a sphere of 6,378,168 m; on one of the earth's mean radius (IUGG R1) distances come out right.
TRUE_RADIUS = 6_371_008.8 / 6_378_168


class Place(Struct):
    """One of a person's places.

    Attributes:
        id: the place's.
        name: what the person calls it.
        address: in words.
        latitude, longitude: degrees north and east; null where the person gave none.
        is_default: whether it is meant where no place is named; one at most is.
        created_at: when it was added.
    """

    id: UUID
    name: Annotated[str, Meta(examples=["집"])]
    address: Annotated[str, Meta(examples=["서울특별시 중구 세종대로 110"])]
    latitude: Annotated[Latitude | None, Meta(examples=[37.5663])]
    longitude: Annotated[Longitude | None, Meta(examples=[126.9779])]
    is_default: bool
    created_at: Time


_HOURS: dict[str, Any] = {day: [["09:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
_HOURS |= {"sat": [], "sun": [], "holiday": [], "note": ""}


class Center(Struct):
    """A collection center, from a public list.

    Attributes:
        id: the center's.
        name: in Korean.
        address: by road where it has one.
        latitude, longitude: degrees north and east; null where the source's could not be read.
        phone: one number; null where there is none.
        operating_hours: null where the source's could not be read.
        items: the kinds of waste that it takes.
        item_names: the same in the source's words.
        phone_note: the source's text where it says more than the one number.
        other_address: by lot, beside the one by road.
    """

    id: UUID
    name: Annotated[str, Meta(examples=["송천동행정복지센터"])]
    address: Annotated[str, Meta(examples=["전북특별자치도 전주시 덕진구 송천로 1"])]
    latitude: Annotated[Latitude | None, Meta(examples=[35.8617])]
    longitude: Annotated[Longitude | None, Meta(examples=[127.1203])]
    phone: Annotated[str | None, Meta(examples=["063-123-4567"])]
    operating_hours: Annotated[OperatingHours | None, Meta(examples=[_HOURS])]
    items: Annotated[list[WasteType], Meta(examples=[["plastic", "metal"]])]
    item_names: Annotated[list[str], Meta(examples=[["플라스틱류", "캔류"]])]
    phone_note: Annotated[str | None, Meta(examples=[None])]
    other_address: Annotated[str | None, Meta(examples=[None])]


class FoundCenter(Center):
    """A center, and how far it is.

    Attributes:
        distance_m: metres as the crow flies from the point that was asked for; null in a map view.
    """

    distance_m: Annotated[Annotated[float, Meta(ge=0)] | None, Meta(examples=[412.5])]


class CenterRow(Struct):
    """A center as an import writes it; `source_serial` is its number in the source's list."""

    id: UUID
    name: str
    address: str
    other_address: str | None
    latitude: float | None
    longitude: float | None
    phone: str | None
    phone_note: str | None
    operating_hours: dict[str, Any] | None
    items: list[str]
    item_names: list[str]
    source_serial: str | None
    source_region: str | None


class Wanted(Struct):
    """What a list of centers is narrowed to. None: no such filter."""

    open_at: Moment | None = None
    # Waste types, any of which the center takes; or a word that its source uses.
    types: list[str] | None = None
    word: str | None = None

    def parameters(self) -> dict[str, Any]:
        return {"open": self.open_at and self.open_at.minutes(), "types": self.types, "word": self.word}


# People's places


async def select_places(
    conn: Connection, user_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> list[Place]:
    """The person's places, newest first, from the row behind `after`."""
    cur = conn.cursor(row_factory=class_row(Place))
    created_at, id_ = row_behind(after)
    await cur.execute(
        """
        SELECT id, name, address, latitude, longitude, is_default, created_at
        FROM user_locations
        WHERE user_id = %(user_id)s
            AND (created_at, id) < (%(created_at)s::timestamp, %(id)s)
        ORDER BY created_at DESC, id DESC
        LIMIT %(limit)s
        """,
        {"user_id": user_id, "created_at": created_at, "id": id_, "limit": limit},
    )
    return await cur.fetchall()


async def select_place(conn: Connection, user_id: UUID, place_id: UUID) -> Place | None:
    cur = conn.cursor(row_factory=class_row(Place))
    await cur.execute(
        """
        SELECT id, name, address, latitude, longitude, is_default, created_at
        FROM user_locations
        WHERE id = %s AND user_id IS NOT DISTINCT FROM %s
        """,
        [place_id, user_id],
    )
    return await cur.fetchone()


async def select_place_for_update(conn: Connection, user_id: UUID, place_id: UUID) -> Place | None:
    cur = conn.cursor(row_factory=class_row(Place))
    await cur.execute(
        """
        SELECT id, name, address, latitude, longitude, is_default, created_at
        FROM user_locations
        WHERE id = %s AND user_id IS NOT DISTINCT FROM %s
        FOR UPDATE
        """,
        [place_id, user_id],
    )
    return await cur.fetchone()


@contextmanager
def _one_default() -> Iterator[None]:
    """Busy, where code that takes turns in another way than `lock_default` made another place the default meanwhile."""
    try:
        yield
    except UniqueViolation:
        raise Busy from None


async def insert_place(conn: Connection, user_id: UUID, place: Place) -> Place:
    """Write a place; return it as it reads from now on (coordinates have eight decimals)."""
    cur = conn.cursor(row_factory=class_row(Place))
    with _one_default():
        await cur.execute(
            """
            INSERT INTO user_locations (id, user_id, name, address, latitude, longitude, is_default, created_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
            RETURNING id, name, address, latitude, longitude, is_default, created_at
            """,
            [
                *(place.id, user_id, place.name, place.address, place.latitude, place.longitude),
                *(place.is_default, place.created_at.replace(tzinfo=None)),
            ],
        )
    written = await cur.fetchone()
    assert written is not None
    return written


async def update_place(conn: Connection, place: Place) -> Place:
    cur = conn.cursor(row_factory=class_row(Place))
    with _one_default():
        await cur.execute(
            """
            UPDATE user_locations
            SET name = %s, address = %s, latitude = %s, longitude = %s, is_default = %s
            WHERE id = %s
            RETURNING id, name, address, latitude, longitude, is_default, created_at
            """,
            [place.name, place.address, place.latitude, place.longitude, place.is_default, place.id],
        )
    written = await cur.fetchone()
    assert written is not None
    return written


async def lock_default(conn: Connection, user_id: UUID) -> None:
    """Let no other request set the person's default before this transaction ends.

    To be called before any row is locked: two requests that did it in another order could wait for each other.
    """
    await conn.execute(
        """
        SELECT
        FROM turns
        WHERE slot = hashtextextended(%s::text, 3) & 255
        FOR NO KEY UPDATE
        """,
        [user_id],
    )
    # How 0.1.0, which may run beside this while it is replaced, takes turns; to go with the release after. Tried and not waited
    # for: any other role could hold it.
    await tried(conn, "SELECT pg_try_advisory_xact_lock(hashtextextended(%s::text, 3))", [user_id])


async def update_no_default(conn: Connection, user_id: UUID) -> None:
    """Make none of the person's places the default; with the default locked."""
    await conn.execute("UPDATE user_locations SET is_default = FALSE WHERE user_id = %s AND is_default", [user_id])


async def delete_place(conn: Connection, place_id: UUID) -> None:
    await conn.execute("DELETE FROM user_locations WHERE id = %s", [place_id])


async def delete_person(conn: Connection, user_id: UUID) -> None:
    """Delete everything here that names a person."""
    await conn.execute("DELETE FROM user_locations WHERE user_id = %s", [user_id])
    await conn.execute("DELETE FROM idempotency WHERE user_id = %s", [user_id])


# Collection centers

# Folded away by the planner where a filter is not asked for: these statements are planned with their values each time.
_FILTERS = """
    AND (%(open)s::int4multirange IS NULL OR open_spans && %(open)s::int4multirange)
    AND (%(types)s::text[] IS NULL OR items && %(types)s::text[] OR item_names @> ARRAY[%(word)s::text])"""

NEAREST = f"""
    SELECT id, name, address, latitude, longitude, phone, operating_hours, items, item_names, phone_note, other_address,
        round((public.earth_distance(point, public.ll_to_earth(%(lat)s, %(lon)s)) * %(true)s)::numeric, 1) AS distance_m
    FROM recycle_centers
    WHERE point OPERATOR(public.&&) public.earth_box(public.ll_to_earth(%(lat)s, %(lon)s), %(radius)s / %(true)s)
        AND public.earth_distance(point, public.ll_to_earth(%(lat)s, %(lon)s)) <= %(radius)s / %(true)s {_FILTERS}
    ORDER BY point OPERATOR(public.<->) public.ll_to_earth(%(lat)s, %(lon)s), id LIMIT %(limit)s"""  # noqa: S608 - constants alone

_INSIDE = f"""
    SELECT id, name, address, latitude, longitude, phone, operating_hours, items, item_names, phone_note, other_address,
        NULL AS distance_m
    FROM recycle_centers
    WHERE point(longitude::float8, latitude::float8) <@ box(point(%(west)s, %(south)s), point(%(east)s, %(north)s))
        {_FILTERS}
    ORDER BY point(longitude::float8, latitude::float8)
        <-> point((%(west)s::float8 + %(east)s) / 2, (%(south)s::float8 + %(north)s) / 2), id LIMIT %(limit)s"""  # noqa: S608 - constants alone


async def select_nearest(
    conn: Connection, latitude: float, longitude: float, radius: float, wanted: Wanted, limit: int
) -> list[FoundCenter]:
    """Centers within `radius` metres, by great-circle distance.

    The chord between two points on the sphere grows with the arc, so the index's order by chord is the exact one. The
    box is asked for with `&&`, not `<@`: for points they mean the same, but the planner takes `<@` to be so narrow that
    it fetches and sorts all inside instead of walking the index outwards.
    """
    cur = conn.cursor(row_factory=class_row(FoundCenter))
    place = {"lat": float(latitude), "lon": float(longitude), "radius": float(radius), "true": TRUE_RADIUS}
    # Not prepared: a generic plan does not know the limit, and scans the table instead of the index.
    await cur.execute(NEAREST, place | wanted.parameters() | {"limit": limit}, prepare=False)
    return await cur.fetchall()


async def select_inside(
    conn: Connection, box: tuple[float, float, float, float], wanted: Wanted, limit: int
) -> list[FoundCenter]:
    """Centers inside west, south, east, north (degrees), those near the middle first. Needs a transaction."""
    # The planner takes any box to hold a thousandth of the table and would fetch and sort all of a whole country.
    await later(conn, "SET LOCAL enable_bitmapscan = off")
    await later(conn, "SET LOCAL enable_sort = off")
    cur = conn.cursor(row_factory=class_row(FoundCenter))
    corners = dict(zip(("west", "south", "east", "north"), map(float, box), strict=True))
    await cur.execute(_INSIDE, corners | wanted.parameters() | {"limit": limit}, prepare=False)
    return await cur.fetchall()


async def select_center(conn: Connection, center_id: UUID) -> Center | None:
    cur = conn.cursor(row_factory=class_row(Center))
    await cur.execute(
        """
        SELECT id, name, address, latitude, longitude, phone, operating_hours, items, item_names, phone_note,
               other_address
        FROM recycle_centers
        WHERE id = %s
        """,
        [center_id],
    )
    return await cur.fetchone()


_BY_WORDS = """
    SELECT id, name, address, latitude, longitude, phone, operating_hours, items, item_names, phone_note, other_address FROM
        (SELECT id, name, address, latitude, longitude, phone, operating_hours, items, item_names, phone_note, other_address
        FROM recycle_centers WHERE search_text LIKE %(first)s {further} LIMIT 500) AS found
    ORDER BY CASE WHEN lower(name) = %(query)s THEN 0 WHEN starts_with(lower(name), %(query)s) THEN 1
        WHEN strpos(lower(name), %(query)s) > 0 THEN 2 WHEN strpos(lower(address), %(query)s) > 0 THEN 3 ELSE 4 END,
        char_length(name), name, id LIMIT %(limit)s"""
_BY_ONE_WORD = _BY_WORDS.format(further="")
# Two patterns for the index, the rest as a filter: LIKE ALL of a list can't use it.
_BY_SEVERAL_WORDS = _BY_WORDS.format(further="AND search_text LIKE %(second)s AND search_text LIKE ALL (%(patterns)s)")


async def select_by_words(conn: Connection, query: str, patterns: Sequence[str], limit: int) -> list[Center]:
    """Centers whose name and address hold every word: those with the whole query in the name first.

    Of a very common word 500 rows are ranked, not all.

    Args:
        query: what was asked for, in lower case.
        patterns: a LIKE pattern over decomposed letters for each word, the longest words first.
    """
    cur = conn.cursor(row_factory=class_row(Center))
    values: dict[str, Any] = {"query": query, "first": patterns[0], "limit": limit}
    if len(patterns) == 1:
        await cur.execute(_BY_ONE_WORD, values, prepare=False)
    else:
        values |= {"second": patterns[1], "patterns": list(patterns[2:])}
        await cur.execute(_BY_SEVERAL_WORDS, values, prepare=False)
    return await cur.fetchall()


async def select_known_word(conn: Connection, letters: str, pattern: str) -> bool:
    """Whether a word of a name or an address is this one, in decomposed letters, or else matches the LIKE pattern."""
    # The whole word first: a very common one is part of ten thousand others, and all of them would be collected.
    cur = await conn.execute(
        """
        SELECT EXISTS (SELECT FROM center_words WHERE word = normalize(%s, NFC))
            OR EXISTS (SELECT FROM center_words WHERE letters LIKE %s)
        """,
        [letters, pattern],
        prepare=False,
    )
    row = await cur.fetchone()
    return row is not None and bool(row[0])


async def select_similar_words(conn: Connection, letters: str, limit: int) -> list[str]:
    """Words of names and addresses that one letter tells from this one, the most alike first. Needs a transaction.

    Of many such words 200 are compared: all of them are good guesses.

    Args:
        letters: the misspelt word, in decomposed letters.
    """
    # The planner takes so many keys for half of the table.
    await later(conn, "SET LOCAL enable_seqscan = off")
    cur = conn.cursor(row_factory=scalar_row)
    await cur.execute(
        """
        SELECT letters
        FROM (
            SELECT letters, public.similarity(%(letters)s, letters) AS likeness
            FROM center_words
            WHERE near && but_one_letter(%(letters)s)
            LIMIT 200
        ) AS alike
        -- Two strings of one hash may have nothing else in common.
        WHERE likeness > 0.1
        ORDER BY likeness DESC, letters
        LIMIT %(limit)s
        """,
        {"letters": letters, "limit": limit},
        prepare=False,
    )
    return await cur.fetchall()


# Imports


async def vacuum_centers(conn: Connection) -> None:
    """Tidy up after many writes, outside of a transaction.

    GIN keeps new entries in a pending list at first: every search reads it, and the planner, who counts its pages, takes a
    scan of the table for cheaper. Without the list, imports would take five times as long.
    """
    await conn.execute("SET statement_timeout = 0")
    await conn.execute("VACUUM (ANALYZE) recycle_centers, center_words")
    await conn.execute("RESET statement_timeout")


async def lock_centers(conn: Connection) -> None:
    """Let one import at a time write; readers see the centers as they were until it commits."""
    # Longer than a request would wait: the import before may have a large file.
    await later(conn, "SET LOCAL lock_timeout = '10min'")
    await later(conn, "SET LOCAL statement_timeout = '10min'")
    await conn.execute("LOCK TABLE recycle_centers IN SHARE ROW EXCLUSIVE MODE")


async def select_rows_of_source(conn: Connection, source: str) -> list[CenterRow]:
    cur = conn.cursor(row_factory=class_row(CenterRow))
    await cur.execute(
        """
        SELECT id, name, address, other_address, latitude, longitude, phone, phone_note, operating_hours, items,
               item_names, source_serial, source_region
        FROM recycle_centers
        WHERE source = %s
        ORDER BY id
        """,
        [source],
    )
    return await cur.fetchall()


async def insert_centers(conn: Connection, source: str, rows: Sequence[CenterRow]) -> None:
    """Write new centers with one statement, because the triggers of this table are run for each statement."""
    await conn.execute(
        """
        INSERT INTO recycle_centers (id, name, address, other_address, latitude, longitude, phone, phone_note,
                                     operating_hours, items, item_names, source_serial, source_region, source)
        SELECT id, name, address, other_address, latitude, longitude, phone, phone_note, operating_hours, items,
               item_names, source_serial, source_region, %s
        FROM jsonb_to_recordset(%s) AS new (id uuid, name text, address text, other_address text,
                                            latitude numeric, longitude numeric, phone text, phone_note text,
                                            operating_hours jsonb, items text[], item_names text[],
                                            source_serial text, source_region text)
        """,
        [source, Jsonb(msgspec.to_builtins(list(rows)))],
    )


async def update_centers(conn: Connection, rows: Sequence[CenterRow]) -> None:
    """Write all facts of centers that are there already, with one statement."""
    await conn.execute(
        """
        UPDATE recycle_centers AS old
        SET name = new.name, address = new.address, other_address = new.other_address, latitude = new.latitude,
            longitude = new.longitude, phone = new.phone, phone_note = new.phone_note,
            operating_hours = new.operating_hours, items = new.items, item_names = new.item_names,
            source_serial = new.source_serial, source_region = new.source_region
        FROM jsonb_to_recordset(%s) AS new (id uuid, name text, address text, other_address text,
                                            latitude numeric, longitude numeric, phone text, phone_note text,
                                            operating_hours jsonb, items text[], item_names text[],
                                            source_serial text, source_region text)
        WHERE old.id = new.id
        """,
        [Jsonb(msgspec.to_builtins(list(rows)))],
    )
