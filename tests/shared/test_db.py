"""The pool: dead connections, transactions, and what values become."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from emulator.servers.postgres import Postgres
from shared import db as db_module
from shared import silence, tasks, wake
from shared.connection import TRIES, changed
from shared.db import Database
from shared.errors import Busy, Problem, TooSlow, Unavailable
from shared.ids import new_id
from shared.keepalive import KEEPALIVE
from shared.messages import Message
from shared.together import later
from shared.wake import Accepted

Connect = Callable[[str], Awaitable[Database]]


@pytest.fixture(scope="module", autouse=True)
def nothing_stays(postgres: Postgres) -> Iterator[None]:
    """Others look at every table that a service has."""
    yield
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as conn:
        conn.execute("DROP TABLE IF EXISTS users.pair")
        conn.execute("DROP SEQUENCE IF EXISTS users.tries")


async def test_each_connection_says_whose_it_is_and_notices_a_machine_that_is_gone(
    environment: dict[str, str],
) -> None:
    database = Database(environment["API_USERS_DB_URL"], size=3, name="whose")
    await database.open()
    pool = database.pool
    assert (pool.min_size, pool.max_size, pool.max_waiting) == (0, 3, 150)
    assert (pool.timeout, pool.max_idle, pool.reconnect_timeout, pool.name) == (
        *(db_module.PATIENCE, db_module.IDLE),
        *(1.0, "whose"),
    )
    async with database.connection() as conn:
        assert conn.autocommit
        given = conn.info.get_parameters()
        assert {name: given[name] for name in KEEPALIVE} == {name: str(value) for name, value in KEEPALIVE.items()}
        assert (given["application_name"], given["connect_timeout"]) == ("whose", "3")
    await database.close()


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


async def test_a_long_statement_is_taken_apart_once(db: Connect) -> None:
    """psycopg alone does so anew each time where one is longer than 4,096 characters, as the search of the items is."""
    users = await db("userinfo")
    query = f"SELECT %(one)s::int /* {'long ' * 2000} */"
    known = []
    async with users.connection() as conn:
        for _ in range(2):
            await conn.execute(query, {"one": 1})
            known.append(psycopg._queries._query2pg.cache_info().hits)
    assert known[1] > known[0]


async def test_requests_that_do_not_overlap_share_one_connection_which_knows_their_statements(db: Connect) -> None:
    users = await db("userinfo")
    async with contextlib.AsyncExitStack() as at_once:
        pids = [(await at_once.enter_async_context(users.connection())).info.backend_pid for _ in range(3)]
    assert len(set(pids)) == 3
    used = []
    for _ in range(4):
        async with users.connection() as conn:
            await conn.execute("SELECT count(*) FROM profiles")
            used.append(conn.info.backend_pid)
    assert len(set(used)) == 1
    async with users.connection() as conn:
        cursor = await conn.execute(
            "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement LIKE '%count(*) FROM profiles'"
        )
        assert await cursor.fetchall() == [(3,)], "all but the first time"


async def test_who_asks_nothing_has_no_connection(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db_module, "IDLE", 0.1)
    users = Database(environment["API_USERS_DB_URL"])
    await users.open()
    assert users.pool.get_stats()["pool_size"] == 0
    assert await users.ready()
    assert users.pool.get_stats()["pool_size"] == 1
    for _ in range(200):
        if users.pool.get_stats()["pool_size"] == 0:
            break
        await asyncio.sleep(0.05)
    assert users.pool.get_stats()["pool_size"] == 0
    async with users.connection():
        looks = users.watch._timer
        await users.close()
    assert looks is not None
    assert looks.cancelled(), "who is closed looks no more"


async def test_a_backend_that_goes_in_the_middle_is_a_503(db: Connect, postgres: Postgres) -> None:
    users = await db("userinfo")
    with pytest.raises(Unavailable):
        async with users.connection() as conn:
            with psycopg.connect(postgres.superuser_dsn, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
            await asyncio.sleep(0.05)
            await conn.execute("SELECT 1")
    assert await users.ready()


async def test_what_a_function_raises_is_heard_though_there_is_no_one_to_roll_back(
    db: Connect, postgres: Postgres
) -> None:
    users = await db("userinfo")
    with pytest.raises(KeyError):
        async with users.transaction() as conn:
            await conn.execute("SELECT 1")
            with psycopg.connect(postgres.superuser_dsn, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
            raise KeyError


async def test_a_machine_that_is_gone_is_noticed_within_seconds(db: Connect) -> None:
    users = await db("userinfo")
    async with users.connection() as conn:
        line = socket.socket(fileno=os.dup(conn.fileno()))
    with line:
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 10
        assert 0 < line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 20_000


async def _two_rows(users: Database) -> None:
    async with users.connection() as conn:
        await conn.execute("DROP TABLE IF EXISTS pair")
        await conn.execute("CREATE TABLE pair AS SELECT id, 0 AS n FROM generate_series(1, 2) AS id")


async def _cross(users: Database, met: asyncio.Barrier, first: int, second: int) -> None:
    async with users.transaction() as conn:
        await conn.execute("UPDATE pair SET n = n + 1 WHERE id = %s", [first])
        await met.wait()
        await conn.execute("UPDATE pair SET n = n + 1 WHERE id = %s", [second])


async def _sum(users: Database) -> int:
    async with users.connection() as conn:
        row = await (await conn.execute("SELECT sum(n)::int FROM pair")).fetchone()
    assert row is not None
    return int(row[0])


async def test_of_two_transactions_that_wait_for_each_other_one_is_told_to_repeat_and_changed_nothing(
    db: Connect,
) -> None:
    users = await db("userinfo")
    await _two_rows(users)
    met = asyncio.Barrier(2)
    ends = await asyncio.gather(_cross(users, met, 1, 2), _cross(users, met, 2, 1), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["Busy", "NoneType"]
    problem = next(end for end in ends if isinstance(end, Problem))
    assert (problem.status, problem.type) == (503, "urn:eco2:busy")
    assert int(problem.headers["Retry-After"]) >= 1
    assert await _sum(users) == 2


async def test_a_statement_alone_that_collides_is_tried_again(db: Connect) -> None:
    users = await db("userinfo")
    await _two_rows(users)
    async with users.connection() as conn:
        await conn.execute("DROP SEQUENCE IF EXISTS tries")
        await conn.execute("CREATE SEQUENCE tries")
    collides_once = """
        DO $$
        BEGIN
            IF nextval('tries') = 1 THEN
                RAISE 'another was faster' USING ERRCODE = 'deadlock_detected';
            END IF;
            UPDATE pair SET n = n + 1;
        END $$
    """
    async with users.connection() as conn:
        await conn.execute(collides_once)
    assert await _sum(users) == 2
    with pytest.raises(Busy):
        async with users.connection() as conn:
            await conn.execute(collides_once.replace("= 1", "> 0"))
    async with users.connection() as conn:
        assert await (await conn.execute("SELECT last_value FROM tries")).fetchone() == (2 + TRIES,)


async def test_a_request_that_has_changed_something_is_not_one_that_may_be_done_again(db: Connect) -> None:
    users = await db("userinfo")
    await _two_rows(users)
    write = "UPDATE pair SET n = n + 1"

    async def fails() -> None:
        with contextlib.suppress(KeyError):
            async with users.transaction() as conn:
                await conn.execute(write)
                raise KeyError

    async def puts_off() -> None:
        with contextlib.suppress(KeyError):
            async with users.transaction() as conn:
                await later(conn, write)
                raise KeyError

    async def reads() -> None:
        async with users.connection() as conn:
            await conn.execute("SELECT 1")

    async def writes() -> None:
        async with users.connection() as conn:
            await conn.execute(write)

    async def commits() -> None:
        async with users.transaction() as conn:
            await conn.execute(write)

    async def commits_a_unit() -> None:
        unit = users.unit()
        await later(unit, write)
        await users.commit(unit)

    nothing, something = (fails, puts_off, reads), (writes, commits, commits_a_unit)
    for does, stays in (*((one, False) for one in nothing), *((one, True) for one in something)):
        before = changed.set(False)
        await does()
        assert changed.get() is stays, does.__name__
        changed.reset(before)


async def test_inside_of_a_transaction_no_statement_is_tried_again(db: Connect) -> None:
    users = await db("userinfo")
    async with users.connection() as conn:
        await conn.execute("DROP SEQUENCE IF EXISTS tries")
        await conn.execute("CREATE SEQUENCE tries")
    collides = "DO $$ BEGIN PERFORM nextval('tries'); RAISE 'x' USING ERRCODE = 'serialization_failure'; END $$"
    for before, undone in ((False, True), (True, False)):
        changed.set(before)
        with pytest.raises(Busy) as raised:
            async with users.transaction() as conn:
                await conn.execute(collides)
        assert raised.value.undone is undone, "the request has changed something else before"
    async with users.connection() as conn:
        # A sequence remembers what was rolled back.
        assert await (await conn.execute("SELECT nextval('tries')")).fetchone() == (3,)


async def test_a_lock_that_is_not_given_up_in_time_is_named_and_not_called_an_outage(db: Connect) -> None:
    users = await db("userinfo")
    await _two_rows(users)
    async with users.transaction() as holder:
        await holder.execute("SELECT FROM pair WHERE id = 1 FOR UPDATE")
        with pytest.raises(Busy) as raised:
            async with users.transaction() as conn:
                await conn.execute("SET LOCAL lock_timeout = '20ms'")
                await conn.execute("UPDATE pair SET n = 1 WHERE id = 1")
    assert "away" not in raised.value.detail


async def test_a_statement_that_was_cancelled_is_named_and_not_called_an_outage(db: Connect) -> None:
    users = await db("userinfo")
    with pytest.raises(TooSlow) as raised:
        async with users.transaction() as conn:
            await conn.execute("SET LOCAL statement_timeout = '20ms'")
            await conn.execute("SELECT pg_sleep(5)")
    assert (raised.value.status, raised.value.type) == (503, "urn:eco2:too-slow")
    assert await users.ready()


async def test_a_server_that_became_a_replica_is_away(db: Connect) -> None:
    users = await db("userinfo")
    with pytest.raises(Unavailable) as raised:
        async with users.transaction() as conn:
            await conn.execute("SET TRANSACTION READ ONLY")
            await conn.execute("CREATE TABLE never (x int)")
    assert raised.value.part == "database"


@pytest.mark.parametrize("code", ["25P03", "25P04", "57P01"], ids=["idle in a transaction", "a long one", "shut down"])
async def test_a_server_that_ends_a_session_is_away(db: Connect, code: str) -> None:
    users = await db("userinfo")
    with pytest.raises(Unavailable) as raised:
        async with users.transaction() as conn:
            await conn.execute(f"DO $$ BEGIN RAISE 'the end' USING ERRCODE = '{code}'; END $$")
    assert (type(raised.value), raised.value.part) == (Unavailable, "database")
    assert users.watch.failed_at > users.watch.heard_at


async def test_a_statement_that_fails_was_answered(db: Connect) -> None:
    """Else a service whose every request collides, or is wrong, would be taken for one without its database."""
    users = await db("userinfo")
    for wrong, problem in (
        ("deadlock_detected", Busy),
        ("query_canceled", TooSlow),
        ("division_by_zero", psycopg.Error),
    ):
        before = time.monotonic()
        with pytest.raises(problem):
            async with users.transaction() as conn:
                await conn.execute(f"DO $$ BEGIN RAISE 'no' USING ERRCODE = '{wrong}'; END $$")
        assert users.watch.failed_at < before < users.watch.heard_at


async def test_a_pool_that_gives_no_connection_is_away(environment: dict[str, str]) -> None:
    users = Database(environment["API_USERS_DB_URL"], size=1)
    await users.open()
    held = await users.take()
    waiting = [asyncio.create_task(users.take()) for _ in range(50)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):  # more wait than may
        await users.connection().__aenter__()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await users.pool.putconn(held)
    assert users.watch.failed_at > users.watch.heard_at
    await users.close()
    with pytest.raises(Unavailable):
        await users.connection().__aenter__()


async def test_a_process_without_work_looks_at_nothing(db: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "LOOK_EVERY", 0.01)
    users = await db("userinfo")
    async with users.connection() as conn:
        await conn.execute("SELECT 1")
        assert users.watch._timer is not None
    await asyncio.sleep(0.1)
    assert users.watch._timer is None


async def test_an_exception_rolls_back(db: Connect) -> None:
    users = await db("userinfo")
    with pytest.raises(KeyError):
        async with users.transaction() as conn:
            await conn.execute("CREATE TABLE never (x int)")
            raise KeyError
    async with users.connection() as conn:
        cursor = await conn.execute("SELECT to_regclass('never')")
        assert await cursor.fetchone() == (None,)


class Relay:
    """Notes what it is told."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.told: list[Any] = []

    def wake(self) -> None:
        self.told.append("woken")

    def hand(self, accepted: Sequence[Accepted]) -> None:
        self.told.append([task.actor for task in accepted])


class Something(Message, frozen=True):
    actor = "storage/something"


@pytest.fixture
def relays(environment: dict[str, str]) -> Iterator[tuple[Relay, Relay]]:
    """Of userinfo's schema, and of another one, which was there first."""
    made = Relay(environment["API_USERS_DB_URL"]), Relay("elsewhere")
    for one in reversed(made):
        wake.register(one)
    yield made
    for one in made:
        wake.unregister(one)


async def test_the_relay_gets_what_was_accepted_after_the_commit_and_only_then(
    db: Connect, relays: tuple[Relay, Relay]
) -> None:
    users, (own, other) = await db("userinfo"), relays
    async with users.transaction() as conn:
        await conn.execute("SELECT 1")
    assert own.told == []
    async with users.transaction() as conn:
        first = await tasks.enqueue(conn, Something(), subject=new_id())
        assert own.told == []
    assert own.told == [["storage/something"]]
    # One that is under way is not handed over again, and one that is to wait is the outbox's.
    async with users.transaction() as conn:
        await tasks.enqueue(conn, Something(), subject=new_id(), task_id=first)
        await tasks.enqueue(conn, Something(), subject=new_id(), delay=60)
    with pytest.raises(KeyError):
        async with users.transaction() as conn:
            await tasks.enqueue(conn, Something(), subject=new_id())
            raise KeyError
    async with users.transaction() as conn:
        await conn.execute("SELECT 1")
    assert own.told == [["storage/something"], "woken"], "the connection remembers nothing of the transaction before"
    assert conn.accepted is None
    assert other.told == ["woken"]


async def test_what_a_savepoint_takes_back_is_not_handed_to_the_relay(db: Connect, relays: tuple[Relay, Relay]) -> None:
    users, (own, _) = await db("userinfo"), relays
    async with users.transaction() as conn:
        with contextlib.suppress(KeyError):
            async with conn.transaction():
                await tasks.enqueue(conn, Something(), subject=new_id())
                raise KeyError
        kept = await tasks.enqueue(conn, Something(), subject=new_id())
    assert own.told == ["woken"]
    async with users.connection() as conn:
        cursor = await conn.execute("SELECT due_at = created_at FROM outbox WHERE id = %s", [kept])
        assert await cursor.fetchone() == (True,)
        await conn.execute("DELETE FROM outbox")


async def test_values_travel_as_json_has_them(db: Connect) -> None:
    users = await db("userinfo")
    async with users.connection() as conn:
        cursor = await conn.execute(
            "SELECT 0.5::numeric, '2026-01-02 03:04:05'::timestamp, '{\"a\": [1]}'::jsonb, current_setting('timezone')"
        )
        assert await cursor.fetchone() == (0.5, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), {"a": [1]}, "UTC")


async def test_a_pool_that_answers_others_meanwhile_is_busy_and_waited_for(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    users = Database(environment["API_USERS_DB_URL"], size=1)
    await users.open()

    async def use() -> None:
        async with users.connection() as conn:
            await conn.execute("SELECT pg_sleep(0.05)")

    await use()  # to connect may take a busy machine longer
    monkeypatch.setattr(db_module, "PATIENCE", 0.3)
    monkeypatch.setattr(db_module, "BUSY", 60.0)
    # The last waits for some times its patience; before it, one answer after another comes.
    await asyncio.gather(*(use() for _ in range(20)))
    assert not users.away()
    # But not for ever, though it answers all others.
    monkeypatch.setattr(db_module, "BUSY", 0.3)
    held = await users.take()

    async def others() -> None:
        while True:
            users.watch.heard_at = time.monotonic()
            await asyncio.sleep(0.01)

    answered = asyncio.create_task(others())
    failed = users.pool.get_stats().get("requests_errors", 0)
    with pytest.raises(Unavailable):
        await use()
    assert users.pool.get_stats()["requests_errors"] - failed <= 3, "not until too many wait"
    answered.cancel()
    await users.pool.putconn(held)
    await users.close()


async def test_a_pool_that_answers_no_one_is_away_until_it_answers_again(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db_module, "PATIENCE", 0.2)
    monkeypatch.setattr(db_module, "BUSY", 600.0)
    users = Database(environment["API_USERS_DB_URL"], size=1)
    await users.open()
    async with users.connection() as conn:
        await conn.execute("SELECT 1")
    held = await users.take()
    monkeypatch.setattr(db_module, "LATELY", 600.0)
    assert await users.ready(), "it has just answered somebody"
    await asyncio.sleep(db_module.SILENT)
    with pytest.raises(Unavailable):
        await users.connection().__aenter__()
    assert users.pool.get_stats()["requests_errors"] == 1, "it is not waited for as one that answers others"
    assert users.away()
    assert not await users.ready(), "the last that is known of it is that it did not answer"
    await users.pool.putconn(held)
    assert await users.ready()
    assert not users.away()
    await users.close()
