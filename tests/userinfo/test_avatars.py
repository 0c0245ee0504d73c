"""A person's picture: upload, check, show, replace, take away"""

from pathlib import Path

import httpx
import pytest

from functions.userinfo.avatar_processed import avatar_processed
from functions.userinfo.sweep_uploads import sweep_uploads
from shared import clock, uploads
from shared.db import Database
from shared.objects import ObjectMissing, ObjectStore
from tests.conftest import Person
from tests.userinfo.conftest import USERS, erase, process_all, set_avatar, tasks_for, upload, work

ME = f"{USERS}/me"
PROCESS, DELETE = "storage/process_photo", "storage/delete_objects"


@pytest.fixture(autouse=True)
async def no_tasks(database: Database) -> None:
    async with database.connection() as conn:
        await conn.execute("DELETE FROM outbox")


async def profile(client: httpx.AsyncClient, person: Person) -> dict[str, str | None]:
    return dict((await client.get(ME, headers=person.headers)).json())


async def deleted(database: Database) -> tuple[list[str], list[str]]:
    """Keys and prefixes that the storage worker is to delete; and forget them."""
    messages = [message for _, _, message in await tasks_for(database, DELETE)]
    async with database.connection() as conn:
        await conn.execute("DELETE FROM outbox WHERE actor = %s", [DELETE])
    keys = [key for message in messages for key in message.get("keys", [])]
    return keys, [prefix for message in messages for prefix in message.get("prefixes", [])]


async def test_a_picture_is_shown_when_it_has_been_checked(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    key = await upload(userinfo, person)
    accepted = await set_avatar(userinfo, person, key)
    assert accepted.status_code == 202
    assert (accepted.json()["avatar_url"], accepted.json()["avatar_status"]) == (None, "pending")
    [(_, avatar_id, message)] = await tasks_for(database, PROCESS)
    assert message == {"image_key": key, "prefix": f"images/{avatar_id}"}
    await process_all(database, objects)
    after = await profile(userinfo, person)
    assert after["avatar_status"] == "success"
    url = after["avatar_url"]
    assert url is not None
    assert url.startswith(f"http://cdn.test/images/{avatar_id}/")
    assert str(person.id) not in url
    assert objects.size(url.removeprefix("http://cdn.test/")) > 0
    # The raw upload goes, and the larger copy, which nobody is shown.
    keys, prefixes = await deleted(database)
    assert keys[0] == key
    assert keys[1].endswith("-web.jpg")
    assert prefixes == []
    assert (await userinfo.get(f"{USERS}/{person.id}")).json()["avatar_url"] == url


async def test_a_new_picture_replaces_the_old_one_whose_objects_go(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    await set_avatar(userinfo, person, await upload(userinfo, person))
    [(_, first, _)] = await tasks_for(database, PROCESS)
    await process_all(database, objects)
    old = (await profile(userinfo, person))["avatar_url"]
    await deleted(database)
    await set_avatar(userinfo, person, await upload(userinfo, person))
    during = await profile(userinfo, person)
    assert (during["avatar_url"], during["avatar_status"]) == (old, "pending")
    await process_all(database, objects)
    assert (await profile(userinfo, person))["avatar_url"] not in (None, old)
    assert (await deleted(database))[1] == [f"images/{first}"]


async def test_what_is_no_picture_is_refused_with_a_reason_and_the_old_one_stays(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    await set_avatar(userinfo, person, await upload(userinfo, person))
    await process_all(database, objects)
    old = (await profile(userinfo, person))["avatar_url"]
    await deleted(database)
    key = await upload(userinfo, person, b"no picture at all")
    await set_avatar(userinfo, person, key)
    await process_all(database, objects)
    after = await profile(userinfo, person)
    assert (after["avatar_url"], after["avatar_status"]) == (old, "failure")
    assert after["avatar_error"]
    assert await deleted(database) == ([key], [])
    # The next attempt begins anew.
    assert (await set_avatar(userinfo, person, await upload(userinfo, person))).json()["avatar_error"] is None


async def test_null_takes_the_picture_away_and_a_late_result_does_not_bring_it_back(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    await set_avatar(userinfo, person, await upload(userinfo, person))
    [(_, first, _)] = await tasks_for(database, PROCESS)
    await process_all(database, objects)
    await deleted(database)
    await set_avatar(userinfo, person, await upload(userinfo, person))
    [(_, second, _)] = await tasks_for(database, PROCESS)
    cleared = await userinfo.patch(ME, json={"avatar_url": None}, headers=person.headers)
    assert (cleared.json()["avatar_url"], cleared.json()["avatar_status"]) == (None, "none")
    assert await deleted(database) == ([], [f"images/{first}"])
    await process_all(database, objects)
    assert (await profile(userinfo, person))["avatar_url"] is None
    assert (await deleted(database))[1] == [f"images/{second}"]


async def test_of_two_pictures_the_last_one_wins_in_whatever_order_they_are_checked(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    for _ in range(2):
        await set_avatar(userinfo, person, await upload(userinfo, person))
    first, second = await tasks_for(database, PROCESS)
    for task in (second, first):
        await avatar_processed(work(objects, *task), database, objects)
    url = (await profile(userinfo, person))["avatar_url"]
    assert url is not None
    assert f"images/{second[1]}/" in url
    assert (await deleted(database))[1] == [f"images/{first[1]}"]


async def test_the_same_outcome_twice_changes_nothing(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    await set_avatar(userinfo, person, await upload(userinfo, person))
    [task] = await tasks_for(database, PROCESS)
    outcome = work(objects, *task)
    await avatar_processed(outcome, database, objects)
    before = await profile(userinfo, person)
    await deleted(database)
    await avatar_processed(outcome, database, objects)
    assert await profile(userinfo, person) == before
    assert await deleted(database) == ([], [])


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


async def test_a_key_has_its_hour(
    userinfo: httpx.AsyncClient, person: Person, tmp_path: Path, database: Database
) -> None:
    key = await upload(userinfo, person)
    file = tmp_path / "clock"
    clock.write_offset(str(file), 0)
    clock.use_file(str(file))
    try:
        clock.write_offset(str(file), 3601)
        async with database.transaction() as conn:
            from shared import uploads

            with pytest.raises(uploads.UploadNotFound):
                await uploads.redeem(conn, person.id, key)
        # What nobody used is gone before a day is over.
        clock.write_offset(str(file), 24 * 3600)
        await sweep_uploads(database)
        assert key in (await deleted(database))[0]
    finally:
        clock.use_file(None)


async def test_the_same_idempotency_key_sets_a_picture_once(
    userinfo: httpx.AsyncClient, person: Person, database: Database
) -> None:
    key = await upload(userinfo, person)
    first = await set_avatar(userinfo, person, key, **{"Idempotency-Key": "one"})
    second = await set_avatar(userinfo, person, key, **{"Idempotency-Key": "one"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert len(await tasks_for(database, PROCESS)) == 1


async def test_a_stale_picture_is_refused_and_its_key_stays_good(userinfo: httpx.AsyncClient, person: Person) -> None:
    key = await upload(userinfo, person)
    for stale in (key, key[:-4] + "0000"):
        assert (await set_avatar(userinfo, person, stale, **{"If-Match": '"stale"'})).status_code == 412
    assert (await set_avatar(userinfo, person, key)).status_code == 202


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


async def test_a_form_takes_no_more_than_was_announced(
    userinfo: httpx.AsyncClient, person: Person, objects: ObjectStore
) -> None:
    answer = await userinfo.post(
        f"{ME}/avatar/uploads", json={"content_type": "image/png", "size_bytes": 10}, headers=person.headers
    )
    form = answer.json()
    assert form["image_key"].startswith(f"uploads/{person.id}/")
    async with httpx.AsyncClient(trust_env=False) as outside:
        stored = await outside.post(form["url"], data=form["fields"], files={"file": ("me.png", b"x" * 11)})
    assert stored.status_code in (400, 403)
    with pytest.raises(ObjectMissing):
        objects.size(form["image_key"])
    for wrong in (
        {"content_type": "image/gif", "size_bytes": 10},
        {"content_type": "image/png", "size_bytes": 1 << 24},
    ):
        refused = await userinfo.post(f"{ME}/avatar/uploads", json=wrong, headers=person.headers)
        assert refused.status_code == 400
