"""A person's profile and settings"""

import asyncio
from typing import Any

import httpx
import pytest

from shared.db import Database
from shared.ids import new_id
from tests.conftest import Person
from tests.userinfo.conftest import USERS, erase

ME = f"{USERS}/me"
SETTINGS = f"{USERS}/me/settings"


async def test_a_person_nobody_has_seen_has_defaults(userinfo: httpx.AsyncClient, person: Person) -> None:
    profile = (await userinfo.get(ME, headers=person.headers)).json()
    assert profile.pop("updated_at").endswith("Z")  # when the id was made
    assert profile == {
        "user_id": str(person.id),
        "nickname": None,
        "avatar_url": None,
        "bio": None,
        "avatar_status": "none",
        "avatar_error": None,
    }
    settings = await userinfo.get(SETTINGS, headers=person.headers)
    assert settings.json() == {"notification_enabled": True, "language": "ko", "theme": "light"}


async def test_looking_writes_nothing(userinfo: httpx.AsyncClient, person: Person, database: Database) -> None:
    for path in (ME, SETTINGS, f"{USERS}/{person.id}"):
        await userinfo.get(path, headers=person.headers)
    async with database.connection() as conn:
        cur = await conn.execute(
            "SELECT (SELECT count(*) FROM profiles WHERE user_id = %s) + (SELECT count(*) FROM settings WHERE user_id = %s)",
            [person.id, person.id],
        )
        assert await cur.fetchone() == (0,)


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
        ("nickname", "가" * 101),
        ("nickname", "a\x00b"),
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


async def test_settings_change_one_by_one(userinfo: httpx.AsyncClient, person: Person) -> None:
    await userinfo.patch(SETTINGS, json={"theme": "dark"}, headers=person.headers)
    answer = await userinfo.patch(SETTINGS, json={"language": "en"}, headers=person.headers)
    assert answer.json() == {"notification_enabled": True, "language": "en", "theme": "dark"}
    assert (await userinfo.get(SETTINGS, headers=person.headers)).json() == answer.json()


@pytest.mark.parametrize("wrong", [{"theme": "blue"}, {"language": "fr"}, {"notification_enabled": None}])
async def test_settings_take_only_what_there_is(
    userinfo: httpx.AsyncClient, person: Person, wrong: dict[str, Any]
) -> None:
    answer = await userinfo.patch(SETTINGS, json=wrong, headers=person.headers)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == list(wrong)


async def test_others_see_the_public_part_alone(
    userinfo: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    await userinfo.patch(ME, json={"nickname": "초록이"}, headers=person.headers)
    for headers in (another_person.headers, {}):
        answer = await userinfo.get(f"{USERS}/{person.id}", headers=headers)
        assert answer.json() == {"user_id": str(person.id), "nickname": "초록이", "avatar_url": None, "bio": None}
    assert (await userinfo.get(f"{USERS}/{new_id()}")).status_code == 404
    assert (await userinfo.get(f"{USERS}/nobody")).status_code == 404


async def test_who_has_written_nothing_yet_sees_their_own_public_profile(
    userinfo: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    answer = await userinfo.get(f"{USERS}/{person.id}", headers=person.headers)
    assert answer.json() == {"user_id": str(person.id), "nickname": None, "avatar_url": None, "bio": None}
    for headers in (another_person.headers, {}):
        assert (await userinfo.get(f"{USERS}/{person.id}", headers=headers)).status_code == 404


async def test_a_change_that_must_be_the_first_is_refused_and_writes_nothing(
    userinfo: httpx.AsyncClient, person: Person
) -> None:
    answer = await userinfo.patch(ME, json={"nickname": "가"}, headers=person.headers | {"If-None-Match": "*"})
    assert answer.status_code == 412
    assert (await userinfo.get(ME, headers=person.headers)).json()["nickname"] is None


async def test_a_stale_change_is_refused_the_first_one_too(userinfo: httpx.AsyncClient, person: Person) -> None:
    for path, change in ((ME, {"nickname": "가"}), (SETTINGS, {"theme": "dark"})):
        tag = (await userinfo.get(path, headers=person.headers)).headers["ETag"]
        same = await userinfo.get(path, headers=person.headers | {"If-None-Match": tag})
        assert same.status_code == 304
        fresh = person.headers | {"If-Match": tag}
        answers = await asyncio.gather(*(userinfo.patch(path, json=change, headers=fresh) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


async def test_nobody_has_a_profile_without_a_token(userinfo: httpx.AsyncClient) -> None:
    for path in (ME, SETTINGS):
        assert (await userinfo.get(path)).status_code == 401


async def test_an_erased_person_is_gone(userinfo: httpx.AsyncClient, person: Person, database: Database) -> None:
    await userinfo.patch(ME, json={"nickname": "초록이"}, headers=person.headers)
    await userinfo.patch(SETTINGS, json={"theme": "dark"}, headers=person.headers)
    for _ in range(2):
        await erase(database, person.id)
    assert (await userinfo.get(f"{USERS}/{person.id}")).status_code == 404
    assert (await userinfo.get(SETTINGS, headers=person.headers)).json()["theme"] == "light"
