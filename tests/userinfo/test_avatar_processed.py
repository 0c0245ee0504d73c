"""The storage worker's answer about a picture"""

import httpx

from functions.userinfo.avatar_processed import avatar_processed
from shared.db import Database
from shared.objects import ObjectStore
from tests.conftest import Person
from tests.userinfo.conftest import PROCESS, USERS, deleted, process_all, profile, set_avatar, tasks_for, upload, work


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
    assert await tasks_for(database, PROCESS) == [], "it would be done again for ever"
    after = await profile(userinfo, person)
    assert after["avatar_status"] == "success"
    url = after["avatar_url"]
    assert url is not None
    assert url.startswith(f"http://cdn.test/images/{avatar_id}/")
    assert str(person.id) not in url
    assert objects.size(url.removeprefix("http://cdn.test/")) > 0
    # The raw upload goes, and the larger copy, which no one is shown.
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
    assert await tasks_for(database, PROCESS) == []
    after = await profile(userinfo, person)
    assert (after["avatar_url"], after["avatar_status"]) == (old, "failure")
    assert after["avatar_error"]
    assert await deleted(database) == ([key], [])
    # Who takes the picture away hears no more of it, and the next attempt begins anew.
    cleared = (await userinfo.patch(f"{USERS}/me", json={"avatar_url": None}, headers=person.headers)).json()
    assert (cleared["avatar_status"], cleared["avatar_error"]) == ("none", None)
    assert (await set_avatar(userinfo, person, await upload(userinfo, person))).json()["avatar_error"] is None


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


async def test_that_an_earlier_choice_was_refused_says_nothing_of_the_one_that_is_being_checked(
    userinfo: httpx.AsyncClient, person: Person, database: Database, objects: ObjectStore
) -> None:
    for content in (b"no picture at all", None):
        await set_avatar(userinfo, person, await upload(userinfo, person, content))
    refused, wanted = await tasks_for(database, PROCESS)
    await avatar_processed(work(objects, *refused), database, objects)
    during = await profile(userinfo, person)
    assert (during["avatar_status"], during["avatar_error"]) == ("pending", None)
    await avatar_processed(work(objects, *wanted), database, objects)
    assert (await profile(userinfo, person))["avatar_status"] == "success"


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
