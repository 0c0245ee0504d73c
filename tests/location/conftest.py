"""A way to put centers into the database without an import."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import hypothesis
import pytest

from functions.location import db as sql
from shared.db import Database
from shared.ids import new_id
from tests.conftest import Person

# How long an example takes, or one to be thought up, is the machine's business: a busy one failed here.
hypothesis.settings.register_profile(
    "untimed",
    parent=hypothesis.settings.default,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("untimed")

CENTERS = "/api/v1/locations/centers"
PLACES = "/api/v1/locations/me"


@pytest.fixture
async def location(serve: Callable[[str], Awaitable[httpx.AsyncClient]]) -> httpx.AsyncClient:
    """The location service, through the production loader."""
    return await serve("location")


@pytest.fixture
async def database(db: Callable[[str], Awaitable[Database]]) -> Database:
    """A pool under the service's role."""
    return await db("location")


def center(name: str, latitude: float | None, longitude: float | None, **facts: Any) -> sql.CenterRow:
    """A center with nothing known about it but what is said."""
    known: dict[str, Any] = {
        "id": new_id(),
        "name": name,
        "address": "서울특별시 중구 세종대로 110",
        "other_address": None,
        "latitude": latitude,
        "longitude": longitude,
        "phone": None,
        "phone_note": None,
        "operating_hours": None,
        "items": [],
        "item_names": [],
        "source_serial": None,
        "source_region": None,
    }
    return sql.CenterRow(**(known | facts))


Put = Callable[..., Awaitable[list[UUID]]]


@pytest.fixture
async def put(database: Database) -> AsyncIterator[Put]:
    """`await put(center(...), ...)`: writes centers, which are gone after the test; returns their ids."""
    source = f"test-{new_id()}"

    async def write(*rows: sql.CenterRow) -> list[UUID]:
        async with database.transaction() as conn:
            await sql.lock_centers(conn)
            await sql.insert_centers(conn, source, rows)
        return [row.id for row in rows]

    yield write
    async with database.connection() as conn:
        await conn.execute("DELETE FROM recycle_centers WHERE source = %s", [source])


# In the sea west of Jeju: no one else's centers are near.
LAT, LON = 33.3, 125.2


HOME = {"name": "집", "address": "서울특별시 중구 세종대로 110", "latitude": 37.5663, "longitude": 126.9779}


async def add(client: httpx.AsyncClient, person: Person, **changed: Any) -> dict[str, Any]:
    answer = await client.post(PLACES, json=HOME | changed, headers=person.headers)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())
