"""Statements that leave together: in their order, all or none, and the next user's connection is as it was."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from emulator.servers.postgres import Postgres
from shared.db import Database
from shared.errors import Unavailable
from shared.ids import new_id
from shared.together import later

Connect = Callable[[str], Awaitable[Database]]

INSERT = "INSERT INTO profiles (user_id, nickname) VALUES (%s, %s)"
NICKNAME = "SELECT nickname FROM profiles WHERE user_id = %s"


@pytest.fixture
async def users(db: Connect) -> Database:
    return await db("userinfo")


async def nickname(users: Database, id_: Any) -> str | None:
    async with users.connection() as conn:
        row = await (await conn.execute(NICKNAME, [id_])).fetchone()
    return row[0] if row else None


async def test_nothing_is_sent_before_a_statement_that_is_waited_for(users: Database, postgres: Postgres) -> None:
    id_ = new_id()
    async with await psycopg.AsyncConnection.connect(postgres.superuser_dsn, autocommit=True) as admin:

        async def state(pid: int) -> str:
            row = await (await admin.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", [pid])).fetchone()
            return str(row[0]) if row else ""

        async with users.transaction() as conn:
            pid = conn.info.backend_pid
            cursor = await later(conn, INSERT, [id_, "later"])
            assert await state(pid) == "idle"
            row = await (await conn.execute(NICKNAME, [id_])).fetchone()
            assert (row, cursor.rowcount) == (("later",), 1)
            assert await state(pid) == "idle in transaction"
            update = await later(conn, "UPDATE profiles SET nickname = 'last' WHERE user_id = %s", [id_])
        assert update.rowcount == 1
    assert await nickname(users, id_) == "last"


async def test_a_transaction_without_a_statement_is_none(users: Database) -> None:
    async with users.transaction() as conn:
        assert not conn.waits or conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    async with users.connection() as conn:
        assert not conn.begun
        assert await (await conn.execute("SELECT 1")).fetchone() == (1,)


@pytest.mark.parametrize("waited_for", [False, True])
async def test_of_statements_of_which_one_fails_nothing_stays(users: Database, waited_for: bool) -> None:
    first, second = new_id(), new_id()
    for _ in range(7):  # also when they are prepared, and when the preparing was part of what failed
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with users.transaction() as conn:
                await later(conn, INSERT, [first, "one"])
                await later(conn, INSERT, [first, "again"])
                await later(conn, INSERT, [second, "two"])
                if waited_for:
                    await conn.execute("SELECT 1")
        assert await nickname(users, first) is None
        assert await nickname(users, second) is None
    async with users.transaction() as conn:
        await later(conn, INSERT, [first, "one"])
    assert await nickname(users, first) == "one"


async def test_what_was_put_off_is_gone_when_the_function_fails(users: Database) -> None:
    id_ = new_id()
    with pytest.raises(ZeroDivisionError):
        async with users.transaction() as conn:
            await later(conn, INSERT, [id_, "never"])
            raise ZeroDivisionError
    assert await nickname(users, id_) is None
    with pytest.raises(ZeroDivisionError):
        async with users.transaction() as conn:
            await later(conn, INSERT, [id_, "sent"])
            await conn.execute("SELECT 1")
            raise ZeroDivisionError
    assert await nickname(users, id_) is None


async def test_outside_of_a_transaction_a_statement_is_sent_at_once(users: Database) -> None:
    id_ = new_id()
    async with users.connection() as conn:
        assert (await later(conn, INSERT, [id_, "now"])).rowcount == 1
        assert await nickname(users, id_) == "now"


async def test_of_statements_that_are_asked_at_once_over_one_connection_each_gets_its_own_answer(
    users: Database,
) -> None:
    async with users.transaction() as conn:

        async def asked(number: int) -> Any:
            cursor = await later(conn, "SELECT %s::int", [number])
            row = await (await conn.execute("SELECT %s::int FROM pg_sleep(0.002)", [number + 100])).fetchone()
            return await cursor.fetchone(), row

        found = await asyncio.wait_for(asyncio.gather(*(asked(number) for number in range(5))), 60)
    assert found == [((number,), (number + 100,)) for number in range(5)]


async def test_other_ways_to_send_come_after_what_was_put_off(users: Database) -> None:
    many, copied, saved = new_id(), new_id(), new_id()
    async with users.transaction() as conn:
        await later(conn, INSERT, [many, "one"])
        async with conn.cursor() as cursor:
            await cursor.executemany(
                "UPDATE profiles SET nickname = %s WHERE user_id = %s", [("two", many), ("three", many)]
            )
        await later(conn, "UPDATE profiles SET bio = 'late' WHERE user_id = %s", [many])
        async with conn.pipeline():
            bio = await conn.execute("SELECT bio FROM profiles WHERE user_id = %s", [many])
        assert await bio.fetchone() == ("late",)
        await later(conn, INSERT, [saved, "kept"])
        with pytest.raises(psycopg.errors.UniqueViolation):
            async with conn.transaction():
                await later(conn, INSERT, [copied, "undone"])
                await conn.execute(INSERT, [saved, "again"])
        await later(conn, INSERT, [copied, "kept"])
        mine = f"SELECT nickname FROM profiles WHERE user_id IN ('{many}', '{saved}', '{copied}') ORDER BY nickname"
        async with conn.cursor().copy(f"COPY ({mine}) TO STDOUT") as copy:
            rows = [row async for row in copy.rows()]
        assert rows == [("kept",), ("kept",), ("three",)]


async def test_one_that_no_one_waits_for_any_more_leaves_no_answer_behind(users: Database) -> None:
    id_ = new_id()
    async with users.connection() as holder, holder.transaction():
        await holder.execute(INSERT, [id_, "held"])
        begun = asyncio.Event()

        async def other() -> None:
            async with users.transaction() as conn:
                await later(conn, INSERT, [id_, "waits for the holder"])
                begun.set()

        waiting = asyncio.create_task(other())
        await begun.wait()
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for number in range(4):
            async with users.transaction() as conn:
                assert await (await conn.execute("SELECT %s::int", [number])).fetchone() == (number,)
    assert await nickname(users, id_) == "held"


async def test_a_server_that_hangs_up_is_away_and_the_next_one_gets_another_connection(
    users: Database, postgres: Postgres
) -> None:
    id_ = new_id()
    with pytest.raises(Unavailable):
        async with users.transaction() as conn:
            await conn.execute("SELECT 1")
            with psycopg.connect(postgres.superuser_dsn, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", [conn.info.backend_pid])
            await later(conn, INSERT, [id_, "lost"])
    async with users.transaction() as conn:
        await later(conn, INSERT, [id_, "kept"])
    assert await nickname(users, id_) == "kept"


async def test_more_than_a_socket_takes_goes_with_others_and_comes_back(users: Database) -> None:
    large = "x" * (16 << 20)
    async with users.transaction() as conn:
        cursors = [await later(conn, "SELECT %s::text", [large + str(n)]) for n in range(3)]
        assert await (await conn.execute("SELECT 1")).fetchone() == (1,)
        assert [await cursor.fetchone() for cursor in cursors] == [(large + str(n),) for n in range(3)]
