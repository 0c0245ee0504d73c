"""How a connection waits: whatever becomes of a statement, the next one gets its own answer."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from emulator.servers.postgres import Postgres
from shared.db import Database
from tests.support import until

Connect = Callable[[str], Awaitable[Database]]

RUNS = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state = 'active'"


async def _running(admin: psycopg.AsyncConnection[tuple[int]], pid: int) -> bool:
    row = await (await admin.execute(RUNS, [pid])).fetchone()
    return row == (1,)


async def test_a_statement_that_no_one_waits_for_ends_and_its_connection_answers_the_next_one(
    db: Connect, postgres: Postgres
) -> None:
    users = await db("userinfo")
    async with (
        await psycopg.AsyncConnection.connect(postgres.superuser_dsn, autocommit=True) as admin,
        users.connection() as conn,
    ):
        pid = conn.info.backend_pid
        waiting = asyncio.create_task(conn.execute("SELECT pg_sleep(60)"))
        for _ in range(1000):
            if await _running(admin, pid):
                break
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not await _running(admin, pid)
        assert await (await conn.execute("SELECT 2")).fetchone() == (2,)


async def test_a_connection_whose_statement_can_not_be_cancelled_is_closed(
    db: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = await db("userinfo")

    async def refuse(**_: float) -> None:
        raise psycopg.OperationalError("no one answers")

    async with users.connection() as conn:
        monkeypatch.setattr(conn, "cancel_safe", refuse)
        waiting = asyncio.create_task(conn.execute("SELECT pg_sleep(2)"))
        await until(lambda: conn._answer is not None)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert conn.closed, "no one knows in which state it is"


async def test_more_than_a_socket_takes_goes_and_comes(db: Connect) -> None:
    users = await db("userinfo")
    large = "x" * (16 << 20)
    async with users.connection() as conn:
        for _ in range(2):
            assert await (await conn.execute("SELECT %s::text", [large])).fetchone() == (large,)
            assert await (await conn.execute("SELECT 1")).fetchone() == (1,)


async def test_a_pipeline_and_single_statements_take_turns(db: Connect) -> None:
    users = await db("userinfo")
    async with users.connection() as conn:
        for number in range(3):
            async with conn.pipeline():
                cursors = [await conn.execute("SELECT %s::int", [number * n]) for n in range(3)]
                assert [await cursor.fetchone() for cursor in cursors] == [(number * n,) for n in range(3)]
            assert await (await conn.execute("SELECT 7")).fetchone() == (7,)


@pytest.mark.parametrize("how", ["lost in use", "lost while idle", "closed"])
async def test_the_number_of_an_ended_connections_socket_is_anothers_to_use(
    db: Connect, postgres: Postgres, how: str
) -> None:
    users = await db("userinfo")
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as admin:
        async with users.connection() as conn:
            await conn.execute("SELECT 1")
            number = conn.fileno()
            if how == "closed":
                await conn.close()
            else:
                admin.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
            if how == "lost in use":
                with pytest.raises(psycopg.OperationalError):
                    await conn.execute("SELECT pg_sleep(60)")
            elif how == "lost while idle":
                await until(lambda: conn._loop is None, "the loop is told once, and not again and again")
    # The loop has forgotten the number, so a socket that gets it is its own.
    loop = asyncio.get_running_loop()
    pairs: list[tuple[socket.socket, socket.socket]] = []
    while not any(number == end.fileno() for pair in pairs for end in pair) and len(pairs) < 50:
        pairs.append(socket.socketpair())
    for near, far in (*pairs, *(pair[::-1] for pair in pairs)):
        near.setblocking(False)
        heard = asyncio.create_task(loop.sock_recv(near, 1))
        await asyncio.sleep(0)  # it waits, and is woken by the loop
        far.sendall(b"a")
        async with asyncio.timeout(30):
            assert await heard == b"a"
    for end in (end for pair in pairs for end in pair):
        end.close()
    async with users.connection() as conn:
        assert await (await conn.execute("SELECT 1")).fetchone() == (1,)
