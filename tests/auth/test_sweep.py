"""What has passed its time"""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from functions.auth import db as sql
from functions.auth import sweep as module
from functions.auth.sweep import sweep
from shared import clock
from shared.db import Connection, Database
from shared.ids import new_id
from tests.auth.conftest import Account
from tests.support import left_of

TABLES = ["mail_tokens", "oauth_codes", "oauth_flows", "refresh_tokens", "sessions"]


async def insert_everywhere(conn: Connection, account: Account, mark: str, seconds: float) -> None:
    """A row of each table, each with the mark, whose time is over in so many seconds."""
    end = clock.now() + timedelta(seconds=seconds)
    living, now = new_id(), clock.now()
    await sql.insert_session(conn, sql.SessionRow(living, account.id, "present", now + timedelta(days=1), now))
    await sql.insert_refresh_token(conn, new_id(), living, account.id, mark, end)
    await sql.insert_session(conn, sql.SessionRow(new_id(), account.id, mark, end, now))
    await sql.insert_mail_token(conn, mark, account.id, "reset", account.email, end)
    await sql.insert_flow(conn, sql.Flow(mark, "kakao", "n", "v", "http://localhost", "c", None, end))
    await sql.insert_code(conn, sql.Code(mark, account.id, "c", None, None, None, end))


async def test_all_that_has_expired_is_swept_and_nothing_else(
    account: Account, db: Callable[[str], Awaitable[Database]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    database, live, old = await db("auth"), new_id().hex, new_id().hex
    async with database.transaction() as conn:
        await insert_everywhere(conn, account, live, 60)
        for number in range(3):  # more than one batch
            await insert_everywhere(conn, account, f"{old}{number}", -1)
    await sweep(database)
    assert await left_of(database, old) == []
    assert sorted(row.partition(":")[0] for row in await left_of(database, live)) == TABLES


async def test_of_each_table_the_oldest_go_first_and_no_more_than_asked_for(
    account: Account, db: Callable[[str], Awaitable[Database]]
) -> None:
    database, mark = await db("auth"), new_id().hex
    await sweep(database)
    async with database.transaction() as conn:
        for age in (2, 3, 1):  # not as they lie
            await insert_everywhere(conn, account, f"{mark}-{age}", -age)
        assert await sql.delete_expired(conn, clock.now(), 2) == 2 * len(TABLES)
    assert len(await left_of(database, mark)) == len(await left_of(database, f"{mark}-1")) == len(TABLES)
