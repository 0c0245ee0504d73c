"""What the SQL changes, beside rows that it does not name (tests/bystanders.py)"""

from collections.abc import Awaitable, Callable
from typing import Any

from functions.auth import db as auth
from shared.db import Database
from tests.bystanders import (
    AHEAD,
    KEPT,
    NOW,
    PAST,
    PEOPLE,
    Call,
    Case,
    Read,
    World,
    changes,
    each,
    each_read,
    finds,
    without_bystanders,
)


async def of_auth(world: World) -> None:
    for who in PEOPLE:
        person = auth.Person(world.id(who), who, f"{who}@example.com", NOW, has_password=False)
        await auth.insert_person(world.conn, person, "old")
        for number in ("1", "2"):
            session = world.id(f"{who}-{number}")
            row = auth.SessionRow(session, person.id, f"{who}-{number}-present", AHEAD, NOW)
            await auth.insert_session(world.conn, row)
            for state, nonce in (("past", b"nonce"), ("present", None)):
                name = f"{who}-{number}-{state}"
                await world.insert(
                    "refresh_tokens",
                    id=world.id(name),
                    session_id=session,
                    user_id=person.id,
                    token=name,
                    expires_at=AHEAD,
                    nonce=nonce,
                )
        await world.kept(who)
        # Of the seed's time, when a token belonged to no session.
        await world.insert("refresh_tokens", id=world.id(f"{who}-seed"), user_id=person.id, token=who, expires_at=AHEAD)
        for purpose in ("reset", "verify"):
            await auth.insert_mail_token(world.conn, f"{who}-{purpose}", person.id, purpose, person.email, AHEAD)
        await auth.insert_flow(world.conn, auth.Flow(who, "kakao", "n", "v", "http://x", "c", person.id, AHEAD))
        await auth.insert_code(world.conn, auth.Code(who, person.id, "c", None, None, None, AHEAD))
    # The same name at two providers is two people's.
    for who, subject in (("kim", "one"), ("lee", "other")):
        for provider in ("kakao", "google"):
            name = subject if provider == "kakao" else {"one": "other", "other": "one"}[subject]
            assert await auth.insert_identity(world.conn, world.id(who), provider, name, None, NOW)


def _of(who: str, *tables: str) -> set[str]:
    """Where somebody has rows in auth."""
    sessions = {f"{who}-{number}" for number in "12"}
    all_ = {
        "users": {who},
        "sessions": sessions,
        "refresh_tokens": {f"{name}-{state}" for name in sessions for state in ("past", "present")},
        "mail_tokens": {f"{who}-reset", f"{who}-verify"},
        "oauth_flows": {who},
        "oauth_codes": {who},
        "identities": {"kakao one", "google other"} if who == "kim" else {"kakao other", "google one"},
    }
    return {f"{table} {name}" for table in tables or all_ for name in all_[table]}


CASES: list[Case] = [
    (
        "update_password",
        lambda w: auth.update_password(w.conn, w.id("kim"), "old", "new"),
        {"users kim: has_password, password_hash", "mail_tokens kim-reset"},
    ),
    ("update_password", lambda w: auth.update_password(w.conn, w.id("kim"), "other", "new"), {"mail_tokens kim-reset"}),
    (
        "update_password_by_mail",
        lambda w: auth.update_password_by_mail(w.conn, w.id("kim"), "new"),
        {"users kim: has_password, password_hash", "mail_tokens kim-reset"},
    ),
    (
        "update_email_verified",
        lambda w: auth.update_email_verified(w.conn, w.id("kim"), "kim@example.com", NOW),
        {"users kim: email_verified_at", "mail_tokens kim-verify"},
    ),
    (
        "update_email_verified",
        lambda w: auth.update_email_verified(w.conn, w.id("kim"), "lee@example.com", NOW),
        {"mail_tokens kim-verify"},
    ),
    (
        "delete_person",
        lambda w: auth.delete_person(w.conn, w.id("kim")),
        _of("kim") | {"refresh_tokens kim-seed", KEPT},
    ),
    (
        "update_session",
        lambda w: auth.update_session(w.conn, w.id("kim-1"), "new", NOW),
        {"sessions kim-1: expires_at, token"},
    ),
    (
        "delete_session",
        lambda w: auth.delete_session(w.conn, w.id("kim-1")),
        {"sessions kim-1", "refresh_tokens kim-1-past", "refresh_tokens kim-1-present"},
    ),
    ("delete_sessions", lambda w: auth.delete_sessions(w.conn, w.id("kim")), _of("kim", "sessions", "refresh_tokens")),
    (
        "delete_sessions",
        lambda w: auth.delete_sessions(w.conn, w.id("kim"), but=w.id("kim-2")),
        {"sessions kim-1", "refresh_tokens kim-1-past", "refresh_tokens kim-1-present"},
    ),
    (
        "update_replaced_token",
        lambda w: auth.update_replaced_token(w.conn, w.id("kim-1"), "kim-1-present", NOW, b"new"),
        {"refresh_tokens kim-1-past: nonce", "refresh_tokens kim-1-present: nonce, replaced_at"},
    ),
    (
        "delete_mail_token",
        lambda w: auth.delete_mail_token(w.conn, "kim-reset", "reset", NOW),
        {"mail_tokens kim-reset"},
    ),
    ("delete_mail_token", lambda w: auth.delete_mail_token(w.conn, "kim-reset", "verify", NOW), set()),
    ("delete_mail_token", lambda w: auth.delete_mail_token(w.conn, "kim-reset", "reset", AHEAD), set()),
    (
        "update_identity_email",
        lambda w: auth.update_identity_email(w.conn, "kakao", "one", "new@example.com"),
        {"identities kakao one: email"},
    ),
    ("delete_identity", lambda w: auth.delete_identity(w.conn, w.id("kim"), "kakao"), {"identities kakao one"}),
    (
        "insert_identity",
        lambda w: auth.insert_identity(w.conn, w.id("kim"), "kakao", "other", "new@example.com", NOW),
        set(),
    ),
    ("delete_flow", lambda w: auth.delete_flow(w.conn, "kim", "kakao", NOW), {"oauth_flows kim"}),
    ("delete_flow", lambda w: auth.delete_flow(w.conn, "kim", "google", NOW), set()),
    ("delete_flow", lambda w: auth.delete_flow(w.conn, "kim", "kakao", AHEAD), set()),
    ("delete_code", lambda w: auth.delete_code(w.conn, "kim", NOW), {"oauth_codes kim"}),
    ("delete_code", lambda w: auth.delete_code(w.conn, "kim", AHEAD), set()),
    ("delete_expired", lambda w: auth.delete_expired(w.conn, PAST, 10), set()),
]


@each(CASES)
async def test_a_statement_changes_what_it_names_and_nothing_beside_it(
    call: Call, changed: set[str], db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await changes(await db("auth"), of_auth, call) == changed


def test_each_statement_that_changes_or_deletes_has_its_bystanders() -> None:
    assert without_bystanders("auth", CASES) == set()


async def _named(world: World) -> list[str]:
    return [one.provider for one in await auth.select_identities(world.conn, world.id("kim"))]


READS: list[Read] = [
    ("the identity", lambda w: auth.select_user_of_identity(w.conn, "kakao", "one"), "kim"),
    ("another provider's", lambda w: auth.select_user_of_identity(w.conn, "google", "one"), "lee"),
    ("another's credentials", lambda w: auth.select_credentials(w.conn, w.id("kim"), w.id("lee-1")), None),
    ("another's profile", lambda w: auth.select_person(w.conn, w.id("kim"), w.id("lee-1")), None),
    ("another's session", lambda w: auth.select_session_for_update(w.conn, w.id("kim"), w.id("lee-1")), None),
    ("another purpose", lambda w: auth.select_mail_token(w.conn, "kim-reset", "verify", NOW), None),
    ("a token that is over", lambda w: auth.select_mail_token(w.conn, "kim-reset", "reset", AHEAD), None),
    ("a link of one's own", lambda w: _linked(w, "kakao", "one"), True),
    ("another's account", lambda w: _linked(w, "kakao", "other"), False),
    ("their providers by name", _named, ["google", "kakao"]),
    ("a second account", lambda w: _linked(w, "kakao", "new"), False),
]


async def _linked(world: World, provider: str, subject: str) -> bool:
    return await auth.insert_identity(world.conn, world.id("kim"), provider, subject, None, NOW)


@each_read(READS)
async def test_auth_finds_what_is_named_in_all_its_parts(
    call: Call, expected: Any, db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await finds(await db("auth"), of_auth, call) == expected
