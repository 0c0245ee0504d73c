"""Two who change the same account at the same time: one waits, and sees what the other has done"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from functions.auth import db as sql
from functions.auth import tokens
from shared import clock
from shared.db import Connection, Database
from shared.ids import new_id
from tests.auth.conftest import PASSWORD, PASSWORD_HASH, SESSIONS, Account, bearer, status
from tests.auth.test_change_password import change
from tests.support import held_up


@pytest.fixture
async def database(db: Callable[[str], Awaitable[Database]]) -> Database:
    return await db("auth")


async def begin_session(conn: Connection, account: Account) -> UUID:
    """A login up to its commit: the password is right, the session is there."""
    assert await sql.select_unchanged(conn, sql.Credentials(account.id, PASSWORD_HASH))
    now, id_ = clock.now(), new_id()
    await sql.insert_session(conn, sql.SessionRow(id_, account.id, id_.hex, now + timedelta(days=1), now))
    return id_


async def delete(database: Database, account: Account) -> list[UUID]:
    async with database.transaction() as conn:
        return await sql.delete_person(conn, account.id)


async def refresh(account: Account, token: str) -> httpx.Response:
    return await account.client.post("/api/v1/auth/refresh", json={"refresh_token": token})


async def test_the_old_password_opens_no_session_while_it_is_changed(account: Account, database: Database) -> None:
    body = {"username": account.username, "password": PASSWORD}
    async with database.transaction() as conn:
        assert await sql.update_password(conn, account.id, PASSWORD_HASH, "another")
        login = await held_up(account.client.post("/api/v1/auth/login", json=body), by=conn)
    assert (await login).status_code == 401


async def test_a_new_password_ends_a_session_that_the_old_one_was_opening(account: Account, database: Database) -> None:
    here = await account.login()
    async with database.transaction() as conn:
        await begin_session(conn, account)
        changing = await held_up(change(account, here, PASSWORD, "a new password"), by=conn)
    assert (await changing).status_code == 204
    assert await status(account, here) == 200
    listed = (await account.client.get(SESSIONS, headers=bearer(here))).json()["items"]
    assert [session["current"] for session in listed] == [True]


async def test_of_two_new_passwords_at_once_the_second_is_refused_and_ends_no_session(
    account: Account, database: Database
) -> None:
    here, there = await account.login(), await account.login()
    async with database.transaction() as conn:
        assert await sql.update_password(conn, account.id, PASSWORD_HASH, "another")
        second = await held_up(change(account, here, PASSWORD, "a new password"), by=conn)
    assert ((await second).status_code, (await second).json()["type"]) == (403, "urn:eco2:auth:wrong-password")
    assert await status(account, there) == 200


async def test_an_erasure_names_the_session_of_a_login_that_was_under_way(account: Account, database: Database) -> None:
    # Those that it names are revoked: a session that went unnamed would stay good elsewhere for 15 minutes.
    async with database.transaction() as conn:
        session = await begin_session(conn, account)
        erasing = await held_up(delete(database, account), by=conn)
    assert await erasing == [session]


async def test_an_erasure_and_a_refresh_do_not_wait_for_each_other(account: Account, database: Database) -> None:
    token = (await account.login())["refresh_token"]
    async with database.transaction() as conn:
        session = await sql.select_session_by_token_for_update(conn, tokens.hash_of(token))
        assert session is not None
        erasing = await held_up(delete(database, account), by=conn)
        await tokens.replace(conn, session, token, clock.now())
    assert await erasing == [session.id]


async def test_a_refresh_waits_for_the_one_before_and_gives_the_same_successor(
    account: Account, database: Database
) -> None:
    token = (await account.login())["refresh_token"]
    async with database.transaction() as conn:
        session = await sql.select_session_by_token_for_update(conn, tokens.hash_of(token))
        assert session is not None
        second = await held_up(refresh(account, token), by=conn)
        successor = await tokens.replace(conn, session, token, clock.now())
    assert (await second).json()["refresh_token"] == successor


async def test_a_session_that_changes_meanwhile_is_not_ended_by_who_knew_it_before(
    account: Account, database: Database
) -> None:
    here, there = await account.login(), await account.login()
    # The state that If-Match names is the one of its line in the list; any other is stale.
    sessions = (await account.client.get(SESSIONS, headers=bearer(here))).json()["items"]
    [other] = [UUID(session["id"]) for session in sessions if not session["current"]]
    stale = bearer(here) | {"If-Match": '"stale"'}
    async with database.transaction() as conn:
        assert await sql.select_session_for_update(conn, account.id, other)
        ending = await held_up(account.client.delete(f"{SESSIONS}/{other}", headers=stale), by=conn)
    assert (await ending).status_code == 412
    assert await status(account, there) == 200


async def test_of_two_last_ways_in_that_are_removed_at_once_one_stays(database: Database) -> None:
    now, id_ = clock.now(), new_id()
    async with database.transaction() as conn:
        person = sql.Person(id_, f"kim-{id_.hex}", f"kim-{id_.hex}@example.com", now, has_password=False)
        await sql.insert_person(conn, person, PASSWORD_HASH)
        for provider in ("kakao", "google"):
            assert await sql.insert_identity(conn, id_, provider, id_.hex, None, now)

    async def remove(provider: str) -> bool | None:
        async with database.transaction() as conn:
            return await sql.delete_identity(conn, id_, provider)

    async with database.transaction() as conn:
        assert await sql.delete_identity(conn, id_, "kakao") is True
        second = await held_up(remove("google"), by=conn)
    assert await second is False


async def test_of_two_who_use_one_link_at_once_one_sets_a_password(account: Account, database: Database) -> None:
    now, token = clock.now(), new_id().hex
    async with database.connection() as conn:
        end = now + timedelta(minutes=1)
        await sql.insert_mail_token(conn, tokens.hash_of(token), account.id, "reset", account.email, end)
    body = {"token": token, "new_password": "an even better horse"}
    async with database.transaction() as conn:
        assert await sql.delete_mail_token(conn, tokens.hash_of(token), "reset", now)
        second = await held_up(account.client.post("/api/v1/auth/password/reset", json=body), by=conn)
    assert (await second).status_code == 400
    await account.login()
