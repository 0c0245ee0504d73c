"""What the SQL changes, beside rows that it does not name (tests/bystanders.py)"""

from collections.abc import Awaitable, Callable

from functions.userinfo import db as userinfo
from shared.db import Database
from tests.bystanders import KEPT, LONG_AGO, NOW, PEOPLE, Call, Case, World, changes, each, without_bystanders


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
        {"profiles kim"},
    ),
    (
        "upsert_settings",
        lambda w: userinfo.upsert_settings(w.conn, w.id("kim"), userinfo.Settings(False, "en", "dark")),
        {"settings kim"},
    ),
    (
        "update_avatar",
        lambda w: userinfo.update_avatar(w.conn, w.id("kim"), w.id("kim-1"), "http://y", NOW),
        {"profiles kim"},
    ),
    (
        "update_avatar_refused",
        lambda w: userinfo.update_avatar_refused(w.conn, w.id("kim"), "no", NOW),
        {"profiles kim"},
    ),
    ("update_no_avatar", lambda w: userinfo.update_no_avatar(w.conn, w.id("kim")), {"profiles kim"}),
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
