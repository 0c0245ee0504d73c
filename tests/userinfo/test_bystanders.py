"""What the SQL changes and what it finds, beside rows that it does not name (tests/bystanders.py)"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from functions.userinfo import db as userinfo
from shared.db import Database
from tests.bystanders import (
    AHEAD,
    KEPT,
    LONG_AGO,
    NOW,
    PEOPLE,
    Call,
    Case,
    Read,
    World,
    changes,
    each,
    each_read,
    finds,
    unread,
    without_bystanders,
)


async def of_userinfo(world: World) -> None:
    for who in PEOPLE:
        await world.kept(who)
        await world.insert(
            "profiles",
            user_id=world.id(who),
            nickname=who,
            bio=who,
            updated_at=LONG_AGO,
            avatar_id=world.id(f"{who}-shown"),
            avatar_url="http://x",
            wanted_avatar_id=world.id(f"{who}-1"),
            avatar_error="e",
        )
        await world.insert("settings", user_id=world.id(who))
        for number in "12":
            await world.insert(
                "avatars", id=world.id(f"{who}-{number}"), user_id=world.id(who), image_key=f"{who}{number}"
            )


CASES: list[Case] = [
    (
        "upsert_profile",
        lambda w: userinfo.upsert_profile(
            w.conn, userinfo.Profile(w.id("kim"), "new", None, None, NOW, "none", None), NOW
        ),
        {"profiles kim: bio, nickname, updated_at"},
    ),
    (
        "upsert_settings",
        lambda w: userinfo.upsert_settings(w.conn, w.id("kim"), userinfo.Settings(False, "en", "dark")),
        {"settings kim: language, notification_enabled, theme"},
    ),
    (
        "update_avatar",
        lambda w: userinfo.update_avatar(w.conn, w.id("kim"), w.id("kim-1"), "http://y", NOW),
        {"profiles kim: avatar_error, avatar_id, avatar_url, updated_at, wanted_avatar_id"},
    ),
    (
        "update_avatar_refused",
        lambda w: userinfo.update_avatar_refused(w.conn, w.id("kim"), "no", NOW),
        {"profiles kim: avatar_error, updated_at, wanted_avatar_id"},
    ),
    (
        "update_no_avatar",
        lambda w: userinfo.update_no_avatar(w.conn, w.id("kim")),
        {"profiles kim: avatar_error, avatar_id, avatar_url, wanted_avatar_id"},
    ),
    (
        "insert_avatar",
        lambda w: userinfo.insert_avatar(w.conn, userinfo.Avatar(w.id("kim-3"), w.id("kim"), "k"), NOW),
        {"avatars kim-3", "profiles kim: avatar_error, updated_at, wanted_avatar_id"},
    ),
    ("delete_avatar", lambda w: userinfo.delete_avatar(w.conn, w.id("kim-1")), {"avatars kim-1"}),
    (
        "delete_person",
        lambda w: userinfo.delete_person(w.conn, w.id("kim")),
        {"profiles kim", "settings kim", "avatars kim-1", "avatars kim-2", KEPT},
    ),
]


@each(CASES)
async def test_a_statement_changes_what_it_names_and_nothing_beside_it(
    call: Call, changed: set[str], db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await changes(await db("userinfo"), of_userinfo, call) == changed


async def test_each_statement_that_changes_or_deletes_has_its_bystanders() -> None:
    assert without_bystanders("userinfo", CASES) == set()


async def _states(world: World) -> list[str]:
    """How far the picture is said to be: another is wanted, it was refused, it is shown, there is none."""
    said = []
    for forgotten in ((), ("wanted_avatar_id",), ("wanted_avatar_id", "avatar_error"), None):
        names = ("wanted_avatar_id", "avatar_error", "avatar_url") if forgotten is None else forgotten
        for name in names:
            await world.conn.execute(f"UPDATE profiles SET {name} = NULL WHERE user_id = %s", [world.id("kim")])
        said.append((await userinfo.select_profile(world.conn, world.id("kim"))).avatar_status)
    return said


async def _not_ours(world: World) -> list[int]:
    """Which of these, by number: the picture shown, another of the same, one being checked, an upload, and what no one has."""
    shown, checked, gone = (f"images/{world.id(name)}" for name in ("kim-shown", "kim-1", "gone"))
    await world.conn.execute(
        "UPDATE profiles SET avatar_url = %s WHERE user_id = %s", [f"http://x/{shown}/thumb", world.id("kim")]
    )
    await world.insert("uploads", image_key="uploads/kim", user_id=world.id("kim"), expires_at=AHEAD)
    keys = [f"{shown}/thumb", f"{shown}/web", f"{checked}/web", "uploads/kim", "uploads/lee", f"{gone}/web"]
    return sorted(keys.index(key) for key in await userinfo.select_not_ours(world.conn, keys))


async def _of_no_known_day(world: World) -> Any:
    """When somebody changed their profile last whose id says no time."""
    return (await userinfo.select_profile(world.conn, uuid4())).updated_at


async def _settings(world: World) -> list[userinfo.Settings]:
    await userinfo.upsert_settings(world.conn, world.id("kim"), userinfo.Settings(False, "en", "dark"))
    return [await userinfo.select_settings(world.conn, world.id(who)) for who in ("kim", "lee", "no one")]


async def _avatar_state(world: World) -> list[Any]:
    states = [await userinfo.select_avatar_state(world.conn, world.id(who)) for who in ("kim", "no one")]
    return [(one.avatar_id, one.wanted_avatar_id) for one in states]


READS: list[Read] = [
    ("select_profile", lambda w: userinfo.select_profile(w.conn, w.id("kim")), "kim"),
    ("select_profile", _states, ["pending", "failure", "success", "none"]),
    ("select_public_profile", lambda w: userinfo.select_public_profile(w.conn, w.id("kim")), "kim"),
    ("select_public_profile", lambda w: userinfo.select_public_profile(w.conn, w.id("no one")), None),
    ("select_profile", _of_no_known_day, None),
    ("select_settings", _settings, [userinfo.Settings(False, "en", "dark"), *[userinfo.Settings()] * 2]),
    ("select_avatar", lambda w: userinfo.select_avatar(w.conn, w.id("kim-1")), "kim-1"),
    ("select_avatar", lambda w: userinfo.select_avatar(w.conn, w.id("kim-shown")), None),
    ("select_avatar_shown", lambda w: userinfo.select_avatar_shown(w.conn, w.id("kim-shown")), True),
    ("select_avatar_shown", lambda w: userinfo.select_avatar_shown(w.conn, w.id("kim-1")), False),
    ("select_avatar_state", _avatar_state, [["kim-shown", "kim-1"], []]),
    ("select_not_ours", _not_ours, [1, 4, 5]),
]


@each_read(READS)
async def test_a_statement_finds_what_it_names_and_nothing_beside_it(
    call: Call, expected: Any, db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await finds(await db("userinfo"), of_userinfo, call) == expected


async def test_each_statement_that_reads_is_looked_at() -> None:
    assert unread("userinfo", READS) == set()
