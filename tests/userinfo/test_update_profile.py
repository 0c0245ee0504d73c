"""A profile that changes"""

import asyncio
from typing import Any

import httpx
import pytest

from shared.db import Database
from shared.objects import ObjectStore
from tests.conftest import Person
from tests.userinfo.conftest import (
    ME,
    PROCESS,
    SETTINGS,
    deleted,
    process_all,
    profile,
    set_avatar,
    tasks_for,
    upload,
)


async def test_a_change_keeps_what_it_does_not_name_and_null_clears(
    userinfo: httpx.AsyncClient, person: Person
) -> None:
    first = await userinfo.patch(ME, json={"nickname": "초록이", "bio": "분리배출"}, headers=person.headers)
    assert (first.status_code, first.json()["nickname"], first.json()["bio"]) == (200, "초록이", "분리배출")
    second = await userinfo.patch(ME, json={"bio": None}, headers=person.headers)
    assert (second.json()["nickname"], second.json()["bio"]) == ("초록이", None)
    assert second.json()["updated_at"] > first.json()["updated_at"]
    assert (await userinfo.get(ME, headers=person.headers)).json() == second.json()
    assert (await userinfo.patch(ME, json={}, headers=person.headers)).json()["nickname"] == "초록이"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nickname", ""),
        ("nickname", "  "),
        ("nickname", "\u3164"),  # the Hangul filler, by which people make themselves a name without a letter
        ("nickname", "가" * 101),
        ("nickname", "a\x00b"),
        ("nickname", "a\u202eb"),  # in another person's list of names, all that follows would run backwards
        ("bio", "가" * 1001),
        ("avatar_url", "https://example.com/me.jpg"),
    ],
)
async def test_a_wrong_value_is_named_and_an_address_cant_be_set_by_hand(
    userinfo: httpx.AsyncClient, person: Person, field: str, value: Any
) -> None:
    answer = await userinfo.patch(ME, json={field: value}, headers=person.headers)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_change_that_must_be_the_first_is_refused_and_writes_nothing(
    userinfo: httpx.AsyncClient, person: Person
) -> None:
    answer = await userinfo.patch(ME, json={"nickname": "가"}, headers=person.headers | {"If-None-Match": "*"})
    assert answer.status_code == 412
    assert (await userinfo.get(ME, headers=person.headers)).json()["nickname"] is None


async def test_a_change_of_what_the_client_says_it_does_not_mean_is_refused_however_weakly_it_names_it(
    userinfo: httpx.AsyncClient, person: Person
) -> None:
    tag = (await userinfo.get(ME, headers=person.headers)).headers["ETag"]
    for header, status in ((f"W/{tag}", 412), (f'"other", {tag}', 412), ('W/"other"', 200)):
        answer = await userinfo.patch(ME, json={"nickname": "가"}, headers=person.headers | {"If-None-Match": header})
        assert answer.status_code == status


async def test_a_stale_change_is_refused_the_first_one_too(userinfo: httpx.AsyncClient, person: Person) -> None:
    for path, change in ((ME, {"nickname": "가"}), (SETTINGS, {"theme": "dark"})):
        tag = (await userinfo.get(path, headers=person.headers)).headers["ETag"]
        same = await userinfo.get(path, headers=person.headers | {"If-None-Match": tag})
        assert same.status_code == 304
        fresh = person.headers | {"If-Match": tag}
        answers = await asyncio.gather(*(userinfo.patch(path, json=change, headers=fresh) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


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
