"""The pool: dead connections, transactions, and what values become."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import psycopg
import pytest

from emulator.servers.postgres import Postgres
from shared import wake
from shared.db import Database, bind, database
from shared.errors import Unavailable

Connect = Callable[[str], Awaitable[Database]]


async def test_a_terminated_backend_costs_nobody_an_error(db: Connect, postgres: Postgres) -> None:
    users = await db("userinfo")
    for _ in range(3):
        async with users.connection() as conn:
            pid = conn.info.backend_pid
        with psycopg.connect(postgres.superuser_dsn, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [pid])
        await asyncio.sleep(0.05)
        async with users.connection() as conn:
            cursor = await conn.execute("SELECT 1")
            assert await cursor.fetchone() == (1,)


async def test_a_backend_that_goes_in_the_middle_is_a_503(db: Connect, postgres: Postgres) -> None:
    users = await db("userinfo")
    with pytest.raises(Unavailable):
        async with users.connection() as conn:
            with psycopg.connect(postgres.superuser_dsn, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
            await asyncio.sleep(0.05)
            await conn.execute("SELECT 1")
    assert await users.ready()


async def test_a_machine_that_is_gone_is_noticed_within_seconds(db: Connect) -> None:
    users = await db("userinfo")
    async with users.connection() as conn:
        line = socket.socket(fileno=os.dup(conn.fileno()))
    with line:
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 10
        assert 0 < line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 20_000


async def test_an_exception_rolls_back(db: Connect) -> None:
    users = await db("userinfo")
    with pytest.raises(KeyError):
        async with users.transaction() as conn:
            await conn.execute("CREATE TABLE never (x int)")
            raise KeyError
    async with users.connection() as conn:
        cursor = await conn.execute("SELECT to_regclass('never')")
        assert await cursor.fetchone() == (None,)


async def test_the_relay_is_woken_after_the_commit_and_only_then(db: Connect) -> None:
    users = await db("userinfo")
    calls: list[str] = []
    unregister = wake.register(lambda: calls.append("woken"))
    try:
        async with users.transaction() as conn:
            await conn.execute("SELECT 1")
        assert calls == []
        async with users.transaction() as conn:
            conn.enqueued = True
            assert calls == []
        assert calls == ["woken"]
        with pytest.raises(KeyError):
            async with users.transaction() as conn:
                conn.enqueued = True
                raise KeyError
        assert calls == ["woken"]
    finally:
        unregister()


async def test_values_travel_as_json_has_them(db: Connect) -> None:
    users = await db("userinfo")
    async with users.connection() as conn:
        cursor = await conn.execute(
            "SELECT 0.5::numeric, '2026-01-02 03:04:05'::timestamp, '{\"a\": [1]}'::jsonb, current_setting('timezone')"
        )
        assert await cursor.fetchone() == (0.5, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), {"a": [1]}, "UTC")


async def test_the_function_now_running_has_its_services_database(db: Connect) -> None:
    with pytest.raises(LookupError):
        database()
    users = await db("userinfo")
    with bind(users):
        assert database() is users
