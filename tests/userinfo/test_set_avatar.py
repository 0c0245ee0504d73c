"""A picture by its upload's key"""

import httpx

from shared.db import Database
from shared.objects import ObjectStore
from shared.spend import spender
from tests.conftest import Person
from tests.userinfo.conftest import PROCESS, USERS, set_avatar, tasks_for, upload


async def test_a_key_is_one_person_s_and_good_once(
    userinfo: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    key = await upload(userinfo, person)
    assert (await set_avatar(userinfo, another_person, key)).status_code == 404
    assert (await set_avatar(userinfo, person, key)).status_code == 202
    assert (await set_avatar(userinfo, person, key)).status_code == 404
    never = f"uploads/{person.id}/{'0' * 32}"
    assert (await set_avatar(userinfo, person, never)).status_code == 404
    assert (await set_avatar(userinfo, person, "elsewhere")).status_code == 400


async def test_a_form_that_was_not_used_yet_is_no_picture_and_its_key_stays_good(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    request = {"content_type": "image/jpeg", "size_bytes": 100}
    form = (await userinfo.post(f"{USERS}/me/avatar/uploads", json=request, headers=person.headers)).json()
    assert (await set_avatar(userinfo, person, form["image_key"])).status_code == 404
    assert await tasks_for(database, PROCESS) == []
    objects.put(form["image_key"], b"x", content_type="image/jpeg")
    assert (await set_avatar(userinfo, person, form["image_key"])).status_code == 202
    async with database.connection() as conn:
        cursor = await conn.execute("SELECT person FROM outbox WHERE actor = %s", [PROCESS])
        assert await cursor.fetchall() == [(spender(person.id),)], "it waits in its person's turn"


async def test_the_same_idempotency_key_sets_a_picture_once(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    key = await upload(userinfo, person)
    first = await set_avatar(userinfo, person, key, **{"Idempotency-Key": "one"})
    objects.delete(key)  # as soon as it is checked; a repeat gets its answer all the same
    second = await set_avatar(userinfo, person, key, **{"Idempotency-Key": "one"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert len(await tasks_for(database, PROCESS)) == 1


async def test_a_stale_picture_is_refused_and_its_key_stays_good(userinfo: httpx.AsyncClient, person: Person) -> None:
    key = await upload(userinfo, person)
    for stale in (key, key[:-4] + "0000"):
        assert (await set_avatar(userinfo, person, stale, **{"If-Match": '"stale"'})).status_code == 412
    assert (await set_avatar(userinfo, person, key)).status_code == 202
