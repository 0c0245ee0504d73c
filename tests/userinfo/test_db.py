"""Changes of one person's rows take turns"""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from functions.userinfo import db as sql
from functions.userinfo.avatar_processed import avatar_processed
from functions.userinfo.avatars import prefix
from shared import clock
from shared import db as db_module
from shared.db import Database
from shared.ids import new_id
from shared.objects import ObjectStore
from shared.tasks import forget
from tests.conftest import Person
from tests.support import done_meanwhile, held_up, one_at_a_time, turn_taken
from tests.userinfo.conftest import (
    ME,
    PROCESS,
    SETTINGS,
    deleted,
    erase,
    profile,
    set_avatar,
    tasks_for,
    upload,
    work,
)

Connect = Callable[[str], Coroutine[Any, Any, Database]]
Change = Callable[[httpx.AsyncClient, Person, Database, str], Coroutine[Any, Any, Any]]
CHANGES: dict[str, Change] = {
    "a profile": lambda client, person, _, __: client.patch(ME, json={"bio": "hello"}, headers=person.headers),
    "settings": lambda client, person, _, __: client.patch(SETTINGS, json={"theme": "dark"}, headers=person.headers),
    "a picture": lambda client, person, _, key: set_avatar(client, person, key),
    "an erasure": lambda _, person, database, __: erase(database, person.id),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_whoever_changes_a_person_waits_for_who_does(
    userinfo: httpx.AsyncClient, person: Person, database: Database, what: str
) -> None:
    key = await upload(userinfo, person)
    async with database.transaction() as conn:
        await sql.lock_person(conn, person.id)
        change = await held_up(CHANGES[what](userinfo, person, database, key), by=conn)
    answer = await change
    assert answer is None or answer.status_code in (200, 202)


async def test_two_who_know_the_same_profile_do_not_both_change_it(
    userinfo: httpx.AsyncClient, person: Person, database: Database
) -> None:
    etag = (await userinfo.get(ME, headers=person.headers)).headers["etag"]
    known = person.headers | {"If-Match": etag}
    async with database.transaction() as conn:
        await sql.lock_person(conn, person.id)
        second = await held_up(userinfo.patch(ME, json={"bio": "second"}, headers=known), by=conn)
        first = sql.Profile(person.id, "first", None, None, clock.now(), "none", None)
        await sql.upsert_profile(conn, first, clock.now())
    assert (await second).status_code == 412
    after = await profile(userinfo, person)
    assert (after["nickname"], after["bio"]) == ("first", None)


async def test_settings_that_somebody_else_changes_meanwhile_are_kept(
    userinfo: httpx.AsyncClient, person: Person, database: Database
) -> None:
    async with database.transaction() as conn:
        await sql.lock_person(conn, person.id)
        second = await held_up(userinfo.patch(SETTINGS, json={"language": "en"}, headers=person.headers), by=conn)
        await sql.upsert_settings(conn, person.id, sql.Settings(notification_enabled=False, theme="dark"))
    assert (await second).json() == {"notification_enabled": False, "language": "en", "theme": "dark"}


async def test_a_change_waits_for_the_version_before_and_keeps_what_it_wrote(
    userinfo: httpx.AsyncClient, person: Person, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.1.0, beside which this runs while it is replaced, takes turns by a lock of its own."""
    monkeypatch.setattr(db_module, "MOMENT", 600.0)
    async with database.transaction() as conn:
        await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 2))", [person.id])
        second = asyncio.create_task(userinfo.patch(ME, json={"bio": "second"}, headers=person.headers))
        await turn_taken(database)
        first = sql.Profile(person.id, "first", None, None, clock.now(), "none", None)
        await sql.upsert_profile(conn, first, clock.now())
    assert (await second).is_success
    after = await profile(userinfo, person)
    assert (after["nickname"], after["bio"]) == ("first", "second")


async def test_a_picture_that_was_checked_while_its_person_was_erased_leaves_nothing(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    await set_avatar(userinfo, person, await upload(userinfo, person))
    [task] = await tasks_for(database, PROCESS)
    async with database.transaction() as conn:
        await sql.lock_person(conn, person.id)
        late = await held_up(avatar_processed(work(objects, *task), database, objects), by=conn)
        assert await sql.delete_person(conn, person.id) == [task[1]]
        await forget(conn, task[1])  # whose end the other one has in its hands by now
    await late
    assert await _rows(database, person.id) == []
    assert prefix(task[1]) in (await deleted(database))[1]


async def test_of_two_copies_of_a_checked_picture_at_once_the_second_leaves_what_the_first_shows(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    await set_avatar(userinfo, person, await upload(userinfo, person))
    [task] = await tasks_for(database, PROCESS)
    outcome = work(objects, *task)
    async with database.transaction() as conn:
        await sql.lock_person(conn, person.id)
        first = await held_up(avatar_processed(outcome, database, objects), by=conn)
        second = asyncio.create_task(avatar_processed(outcome, database, objects))
        for _ in range(4000):
            if (await conn.execute("SELECT FROM pg_locks WHERE NOT granted")).rowcount == 2:
                break
            await asyncio.sleep(0.005)
    await asyncio.gather(first, second)
    assert (await profile(userinfo, person))["avatar_status"] == "success"
    assert prefix(task[1]) not in (await deleted(database))[1]


async def _rows(database: Database, user_id: UUID) -> list[Any]:
    async with database.connection() as conn:
        cursor = await conn.execute(
            "SELECT user_id FROM profiles WHERE user_id = %(id)s UNION ALL SELECT user_id FROM avatars WHERE user_id = %(id)s",
            {"id": user_id},
        )
        return await cursor.fetchall()


async def test_a_picture_is_set_once_however_often_it_is_asked_for_at_the_same_instant(
    userinfo: httpx.AsyncClient, person: Person, database: Database
) -> None:
    body = {"image_key": await upload(userinfo, person)}
    await one_at_a_time(userinfo, database, person.id, person.headers, "PUT", f"{ME}/avatar", body)
    await done_meanwhile(userinfo, database, person.headers, "PUT", f"{ME}/avatar", body)
    assert await _rows(database, person.id) == []


async def test_a_picture_is_not_set_on_a_profile_that_changed_while_its_turn_was_waited_for(
    userinfo: httpx.AsyncClient, person: Person, database: Database
) -> None:
    body = {"image_key": await upload(userinfo, person)}
    known = person.headers | {"If-Match": (await userinfo.get(ME, headers=person.headers)).headers["etag"]}
    async with database.transaction() as conn:
        await sql.lock_person(conn, person.id)
        second = await held_up(userinfo.put(f"{ME}/avatar", json=body, headers=known), by=conn)
        first = sql.Profile(person.id, "first", None, None, clock.now(), "none", None)
        await sql.upsert_profile(conn, first, clock.now())
    assert (await second).status_code == 412
    assert (await set_avatar(userinfo, person, body["image_key"])).status_code == 202, "the upload is still good"


async def test_a_new_picture_is_a_change_of_its_person_s_profile(db: Connect) -> None:
    users = await db("userinfo")
    user_id, first = new_id(), clock.now() - timedelta(days=1)
    async with users.transaction() as conn:
        for number, now in enumerate((first, first + timedelta(hours=1))):
            avatar = sql.Avatar(new_id(), user_id, f"uploads/{number}")
            await sql.insert_avatar(conn, avatar, now)
            row = await (
                await conn.execute("SELECT wanted_avatar_id, updated_at FROM profiles WHERE user_id = %s", [user_id])
            ).fetchone()
            assert row == (avatar.id, now)
