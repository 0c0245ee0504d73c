"""A person who is erased, with all objects"""

import httpx
import pytest

from functions.userinfo.avatar_processed import avatar_processed
from shared import clock, uploads
from shared.db import Database
from shared.objects import ObjectStore
from tests.conftest import Person
from tests.support import left_of
from tests.userinfo.conftest import (
    ME,
    PROCESS,
    SETTINGS,
    USERS,
    deleted,
    erase,
    process_all,
    set_avatar,
    tasks_for,
    upload,
    work,
)


async def test_an_erased_person_is_gone(userinfo: httpx.AsyncClient, person: Person, database: Database) -> None:
    await userinfo.patch(ME, json={"nickname": "초록이"}, headers=person.headers)
    await userinfo.patch(SETTINGS, json={"theme": "dark"}, headers=person.headers)
    for _ in range(2):
        await erase(database, person.id)
    assert (await userinfo.get(f"{USERS}/{person.id}")).status_code == 404
    assert (await userinfo.get(SETTINGS, headers=person.headers)).json()["theme"] == "light"


async def test_an_erased_person_s_objects_go_also_those_still_being_made(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    shown, waiting = await upload(userinfo, person), await upload(userinfo, person)
    await set_avatar(userinfo, person, shown)
    [(_, first, _)] = await tasks_for(database, PROCESS)
    await process_all(database, objects)
    await deleted(database)
    await set_avatar(userinfo, person, waiting)
    [late] = await tasks_for(database, PROCESS)
    await erase(database, person.id)
    keys, prefixes = await deleted(database)
    assert set(keys) == {shown, waiting}
    assert set(prefixes) == {f"images/{first}", f"images/{late[1]}"}
    assert await tasks_for(database, PROCESS) == []
    await avatar_processed(work(objects, *late), database, objects)
    assert await deleted(database) == ([], [f"images/{late[1]}"])
    assert (await userinfo.get(f"{USERS}/{person.id}")).status_code == 404


async def test_what_comes_by_a_form_of_an_erased_person_is_deleted_when_the_form_has_ended(
    userinfo: httpx.AsyncClient, person: Person, database: Database
) -> None:
    key = await upload(userinfo, person)
    before = clock.now()
    await erase(database, person.id)
    async with database.connection() as conn:
        cur = await conn.execute(
            "SELECT message -> 'keys', due_at FROM outbox WHERE actor = 'storage/delete_objects'"
            " AND message::text LIKE %s ORDER BY due_at",
            [f"%{key}%"],
        )
        (now, _), (late, due) = await cur.fetchall()
    assert now == late == [key]
    assert due >= before + uploads.LIFETIME


@pytest.mark.parametrize("how", ["offered", "awaited", "refused", "shown"])
async def test_wherever_a_picture_is_an_erasure_leaves_nothing_of_its_person(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore, how: str
) -> None:
    key = await upload(userinfo, person, b"no picture at all" if how == "refused" else None)
    if how != "offered":
        assert (await set_avatar(userinfo, person, key, **{"Idempotency-Key": "kept"})).status_code == 202
    if how in ("refused", "shown"):
        await process_all(database, objects)
    await erase(database, person.id)
    keys, _ = await deleted(database)
    assert key in keys
    assert await left_of(database, str(person.id)) == []
