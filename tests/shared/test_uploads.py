"""An upload's form and key: for an hour, for one person, once"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from uuid import UUID

import pytest

from shared import clock, uploads
from shared.db import Database
from shared.ids import new_id
from shared.objects import ObjectStore
from shared.uploads import Upload, UploadNotFound, UploadRequest

Connect = Callable[[str], Awaitable[Database]]
Later = Callable[[float], AbstractContextManager[None]]
HOUR, DAY = 3600.0, 86_400.0


async def offered(database: Database, objects: ObjectStore, user_id: UUID) -> Upload:
    before = clock.now()
    upload = await uploads.sign(objects, user_id, UploadRequest("image/jpeg", 100))
    assert HOUR - 5 <= (upload.expires_at - before).total_seconds() <= HOUR + 60
    async with database.connection() as conn:
        await uploads.insert(conn, user_id, upload)
    return upload


async def redeemed(database: Database, user_id: UUID, key: str) -> bool:
    try:
        async with database.transaction() as conn:
            await uploads.redeem(conn, user_id, key)
    except UploadNotFound:
        return False
    return True


@pytest.mark.parametrize("service", ["waste", "userinfo"])
async def test_a_key_is_good_for_an_hour_for_its_person_and_once(
    db: Connect, objects: ObjectStore, later: Later, service: str
) -> None:
    database, person = await db(service), new_id()
    early, late = [(await offered(database, objects, person)).image_key for _ in range(2)]
    with later(HOUR - 120):
        assert not await redeemed(database, new_id(), early)
        assert await redeemed(database, person, early)
        assert not await redeemed(database, person, early)
    with later(HOUR + 1):
        assert not await redeemed(database, person, late)


async def test_a_form_is_open_while_the_store_takes_it(db: Connect, objects: ObjectStore, later: Later) -> None:
    database, person = await db("waste"), new_id()
    upload = await offered(database, objects, person)
    async with database.connection() as conn:
        with later(HOUR - 120):
            assert await uploads.select_open(conn, person) == [upload.image_key]
            assert await uploads.select_open(conn, new_id()) == []
        with later(HOUR + 1):
            assert await uploads.select_open(conn, person) == []


async def test_a_raw_upload_is_stale_after_a_day(db: Connect, objects: ObjectStore, later: Later) -> None:
    database, person = await db("waste"), new_id()
    upload = await offered(database, objects, person)
    async with database.connection() as conn:
        with later(DAY - 120):
            assert upload.image_key not in await uploads.select_stale(conn, 100_000)
        with later(DAY + 1):
            assert upload.image_key in await uploads.select_stale(conn, 100_000)


async def test_of_what_is_stale_the_oldest_come_first_and_no_more_than_asked_for(
    db: Connect, objects: ObjectStore, later: Later
) -> None:
    database = await db("waste")
    middle, newest, oldest = [(await offered(database, objects, new_id())).image_key for _ in range(3)]
    async with database.connection() as conn:
        await conn.execute("DELETE FROM uploads WHERE image_key <> ALL(%s)", [[middle, newest, oldest]])
        # Not as they lie: who reads without an order would find them in it all the same.
        for key, age in ((newest, "-1 min"), (oldest, "1 min")):
            await conn.execute(
                "UPDATE uploads SET expires_at = expires_at - %s::interval WHERE image_key = %s", [age, key]
            )
        with later(DAY + 120):
            assert await uploads.select_stale(conn, 2) == [oldest, middle]
