"""Units that come at the same moment are one transaction, and one's failure is never another's."""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from emulator.servers.postgres import Postgres
from shared import spans, trace, wake
from shared.db import Database
from shared.errors import Busy, Unavailable
from shared.idempotency import Idempotency, StillUnderWay, Taken
from shared.ids import new_id
from shared.messages import DeleteObjects
from shared.tasks import enqueue
from shared.together import Unit, insert, later
from shared.units import GROUP

Connect = Callable[[str], Awaitable[Database]]

INSERT = "INSERT INTO profiles (user_id, nickname) VALUES (%s, %s)"
RENAME = "UPDATE profiles SET nickname = %s WHERE user_id = %s"
NICKNAME = "SELECT nickname FROM profiles WHERE user_id = %s"


INSERT_ROWS = """
INSERT INTO profiles (user_id, nickname)
SELECT id, nickname FROM json_to_recordset(%s) AS given (id uuid, nickname text)
    ON CONFLICT (user_id) DO NOTHING
RETURNING user_id
"""


class NoSuchPerson(Exception):
    """What a unit expected is not there."""


@pytest.fixture
async def users(db: Connect) -> Database:
    return await db("userinfo")


async def unit(users: Database, id_: UUID, nickname: str = "unit") -> Unit:
    made = users.unit()
    await later(made, INSERT, [id_, nickname])
    return made


async def ends(users: Database, *units: Unit) -> list[Any]:
    """Commit them at the same moment; how each ended."""
    return await asyncio.gather(*(users.commit(one) for one in units), return_exceptions=True)


async def there(users: Database, ids: list[UUID]) -> list[UUID]:
    """Which of them have rows."""
    async with users.connection() as conn:
        cursor = await conn.execute("SELECT user_id FROM profiles WHERE user_id = ANY(%s)", [ids])
        found = {row[0] for row in await cursor.fetchall()}
    return [id_ for id_ in ids if id_ in found]


async def test_units_of_one_moment_are_a_few_transactions(users: Database) -> None:
    ids = [new_id() for _ in range(GROUP + 3)]
    assert await ends(users, *[await unit(users, id_) for id_ in ids]) == [None] * len(ids)
    async with users.connection() as conn:
        cursor = await conn.execute("SELECT count(DISTINCT xmin::text) FROM profiles WHERE user_id = ANY(%s)", [ids])
        assert await cursor.fetchone() == (2,)
    assert await there(users, ids) == ids


async def test_rows_of_a_group_are_one_statement_that_says_of_each_whether_it_was_written(users: Database) -> None:
    before, after, both = new_id(), new_id(), new_id()
    await users.commit(await unit(users, before))
    units = [users.unit() for _ in range(4)]
    rows = [
        await insert(made, INSERT_ROWS, id_, {"id": id_, "nickname": "한 줄 \"' \\"})
        for made, id_ in zip(units, (before, both, after, both), strict=True)
    ]
    await later(units[0], RENAME, ["renamed", before])
    assert [row.rowcount for row in rows] == [0, 0, 0, 0]
    assert await ends(users, *units) == [None] * 4
    assert [row.rowcount for row in rows] == [0, 1, 1, 0]
    async with users.connection() as conn:
        found = [await (await conn.execute(NICKNAME, [id_])).fetchone() for id_ in (before, after, both)]
    assert found == [("renamed",), ("한 줄 \"' \\",), ("한 줄 \"' \\",)]


async def test_a_row_that_is_refused_is_alone_with_it(users: Database) -> None:
    ids = [new_id() for _ in range(4)]
    units = [users.unit() for _ in ids]
    for number, (made, id_) in enumerate(zip(units, ids, strict=True)):
        await insert(made, INSERT_ROWS, id_, {"id": id_, "nickname": "\0" if number == 1 else "x"})
    ended = await ends(users, *units)
    assert isinstance(ended.pop(1), psycopg.DataError)
    assert ended == [None] * 3
    assert await there(users, ids) == [ids[0], *ids[2:]]


@pytest.mark.parametrize("wrong", ["refused", "not as expected", "more than expected"])
async def test_one_that_fails_is_alone_with_it(users: Database, wrong: str) -> None:
    ids = [new_id() for _ in range(5)]
    units = [await unit(users, id_) for id_ in ids]
    if wrong == "refused":
        await later(units[2], INSERT, [ids[2], "again"])
    else:
        two = "UPDATE profiles SET nickname = %s WHERE user_id = ANY(%s)"
        others = [new_id(), new_id()]
        assert await ends(users, *[await unit(users, id_) for id_ in others]) == [None, None]
        expected = (RENAME, new_id()) if wrong == "not as expected" else (two, others)
        units[2].expect(expected[0], ["x", expected[1]], NoSuchPerson)
        units[3].expect(RENAME, ["renamed", ids[3]], NoSuchPerson)
    ended = await ends(users, *units)
    assert type(ended.pop(2)) is (psycopg.errors.UniqueViolation if wrong == "refused" else NoSuchPerson)
    assert ended == [None] * 4
    assert await there(users, ids) == [id_ for id_ in ids if id_ != ids[2]]
    await asyncio.sleep(0)
    assert users._units._alone == set(), "what has ended is kept by no one"


async def test_one_key_of_idempotency_has_one_effect_and_the_other_hears_its_answer(db: Connect) -> None:
    waste, user = await db("waste"), new_id()
    units, answers = [], []
    for number in range(3):
        key = Idempotency("k", user_id=user, method="POST", path="/things", body=b"{}")
        units.append(waste.unit())
        answers.append(key.take(units[-1], {"number": number}, status=202))
        await later(units[-1], "INSERT INTO analyses (id, user_id, image_url) VALUES (%s, %s, '')", [new_id(), user])
    ended = await ends(waste, *units)
    [first] = [number for number, end in enumerate(ended) if end is None]
    assert [type(end) for end in ended if end is not None] == [Taken, Taken]
    async with waste.connection() as conn:
        cursor = await conn.execute("SELECT count(*) FROM analyses WHERE user_id = %s", [user])
        assert await cursor.fetchone() == (1,)
        assert (await key.repeated(conn)).content == answers[first].content == {"number": first}


async def test_a_key_that_a_transaction_has_claimed_is_taken_by_no_unit_meanwhile(db: Connect) -> None:
    """Not all functions write in units, and the version before wrote in none: both share the key."""
    waste = await db("waste")
    key = Idempotency("claimed", user_id=new_id(), method="POST", path="/things", body=b"{}")
    async with waste.transaction() as conn:
        assert await key.claim(conn) is None
        unit = waste.unit()
        key.take(unit, {"number": 2}, status=202)
        with pytest.raises(Taken):
            await waste.commit(unit)
        with pytest.raises(StillUnderWay):
            await key.repeated(conn)
        await key.keep(conn, {"number": 1}, status=202)
    async with waste.connection() as conn:
        assert (await key.repeated(conn)).content == {"number": 1}


async def test_who_waits_for_another_s_row_does_not_make_the_others_wait(users: Database) -> None:
    held, *ids = [new_id() for _ in range(6)]
    async with users.transaction() as holder:
        await holder.execute(INSERT, [held, "held"])
        waiting = asyncio.create_task(users.commit(await unit(users, held)))
        assert await ends(users, *[await unit(users, id_) for id_ in ids]) == [None] * 5
        assert await there(users, ids) == ids
        assert not waiting.done()
    with pytest.raises(psycopg.errors.UniqueViolation):
        await waiting


async def test_who_comes_after_one_that_waits_is_not_held_up_by_it(users: Database) -> None:
    held, after = new_id(), new_id()
    async with users.transaction() as holder:
        await holder.execute(INSERT, [held, "held"])
        waiting = asyncio.create_task(users.commit(await unit(users, held)))
        for _ in range(5):
            await asyncio.sleep(0)  # it is sent, alone
        await users.commit(await unit(users, after))
        assert not waiting.done()
    with pytest.raises(psycopg.errors.UniqueViolation):
        await waiting


async def test_groups_that_want_each_other_s_rows_both_get_them(users: Database, db: Connect) -> None:
    other = await db("userinfo")
    ids = [new_id() for _ in range(8)]
    assert await ends(users, *[await unit(users, id_) for id_ in ids]) == [None] * 8

    async def rename(database: Database, order: list[UUID], nickname: str) -> None:
        units = []
        for id_ in order:
            units.append(database.unit())
            units[-1].expect(RENAME, [nickname, id_], NoSuchPerson)
        assert await ends(database, *units) == [None] * 8

    for _ in range(5):
        await asyncio.gather(rename(users, ids, "forwards"), rename(other, ids[::-1], "backwards"))


async def test_a_server_that_hangs_up_in_the_middle_of_a_group_has_done_nothing_of_it_and_is_not_asked_again(
    users: Database, postgres: Postgres
) -> None:
    ids = [new_id() for _ in range(4)]
    units = [await unit(users, id_) for id_ in ids]
    await later(units[2], "SELECT pg_sleep(60)")
    ending = asyncio.create_task(ends(users, *units))
    sleeps = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"
    async with await psycopg.AsyncConnection.connect(postgres.superuser_dsn, autocommit=True) as admin:
        for _ in range(3000):
            if await (await admin.execute(sleeps)).fetchone():
                break
            await asyncio.sleep(0.01)
    assert [type(end) for end in await ending] == [Unavailable] * 4
    assert await there(users, ids) == []


async def test_what_no_one_waits_for_any_more_is_not_begun(users: Database) -> None:
    held, left, kept = new_id(), new_id(), new_id()
    async with users.transaction() as holder:
        await holder.execute(INSERT, [held, "held"])
        first = asyncio.create_task(users.commit(await unit(users, held)))
        await asyncio.sleep(0)
        second = asyncio.create_task(users.commit(await unit(users, left)))
        third = asyncio.create_task(users.commit(await unit(users, kept)))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        await asyncio.sleep(0)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await first
    await third
    # Nor where it was given up while its group failed.
    given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    given_up.cancel()
    await users._units._commit_alone(await unit(users, left), given_up)
    assert await there(users, [left, kept]) == [kept]


async def test_each_write_of_a_group_is_in_the_trace_of_its_own_request(
    users: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.bind(("127.0.0.1", 0))
        wire.settimeout(10)
        monkeypatch.setenv("ECO2_SPANS", f"127.0.0.1:{wire.getsockname()[1]}")
        spans.configure("userinfo")
        try:
            units = []
            for _ in range(3):
                trace.enter(None)
                units.append(await unit(users, new_id()))
                await insert(units[-1], INSERT_ROWS, id_ := new_id(), {"id": id_, "nickname": "x"})
            trace.set_current("")
            assert await ends(users, *units) == [None] * 3
        finally:
            monkeypatch.delenv("ECO2_SPANS")
            spans.configure("userinfo")
        names: dict[str, list[str]] = {}
        while sum(map(len, names.values())) < 10:
            told = msgspec.json.decode(wire.recv(1 << 16))
            if told["kind"] == "sql":  # a wait is told where it is long
                names.setdefault(told["trace"], []).append(" ".join(told["name"].split()[:2]))
    assert [sorted(names[one.traceparent[3:35]]) for one in units] == [
        ["COMMIT", "INSERT INTO", "INSERT INTO", "SET LOCAL"],
        ["COMMIT", "INSERT INTO", "INSERT INTO"],
        ["COMMIT", "INSERT INTO", "INSERT INTO"],
    ]


class Bell:
    """A relay of another database: it is not handed anything."""

    dsn = "another"

    def __init__(self) -> None:
        self.rung = 0

    def wake(self) -> None:
        self.rung += 1

    def hand(self, accepted: object) -> None:
        raise AssertionError("what is another's is handed to no one")


@pytest.mark.parametrize(("accepting", "rung"), [([], False), ([1], True), ([0, 2], True)])
async def test_relays_are_woken_by_a_group_in_which_any_unit_has_accepted_something(
    users: Database, accepting: list[int], rung: bool
) -> None:
    units = [await unit(users, new_id()) for _ in range(3)]
    for number in accepting:
        await enqueue(units[number], DeleteObjects(keys=["x"]), subject=new_id())
    bell = Bell()
    wake.register(bell)
    try:
        assert await ends(users, *units) == [None] * 3
    finally:
        wake.unregister(bell)
    assert bool(bell.rung) == rung


class Relay(Bell):
    """The relay of this database."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.dsn = dsn
        self.handed: list[UUID] = []

    def hand(self, accepted: Any) -> None:
        self.handed += [one.id for one in accepted]


async def test_the_relay_is_handed_what_each_unit_of_a_group_has_accepted_and_nothing_of_one_that_failed(
    users: Database,
) -> None:
    relay = Relay(users.dsn)
    wake.register(relay)
    try:
        units = [await unit(users, new_id()) for _ in range(4)]
        accepted = [await enqueue(one, DeleteObjects(keys=["x"]), subject=new_id()) for one in units]
        assert await ends(users, *units) == [None] * 4
        assert (sorted(relay.handed), relay.rung) == (sorted(accepted), 0)
        relay.handed.clear()
        units = [await unit(users, new_id()) for _ in range(3)]
        accepted = [await enqueue(one, DeleteObjects(keys=["x"]), subject=new_id()) for one in units]
        units[1].expect(RENAME, ["x", new_id()], NoSuchPerson)
        assert [type(end) for end in await ends(users, *units)] == [type(None), NoSuchPerson, type(None)]
        assert sorted(relay.handed) == sorted([accepted[0], accepted[2]])
    finally:
        wake.unregister(relay)
    wake.unregister(relay)  # a second time is none


async def test_what_is_asked_of_two_replicas_whose_connections_are_cut_is_done_once_and_answered_alike(
    db: Connect, postgres: Postgres
) -> None:
    replicas, user = [await db("waste"), await db("waste")], new_id()
    keys, random_, cuts = 40, random.Random(7), 0

    async def once(replica: Database, number: int) -> str:
        key = Idempotency(str(number), user_id=user, method="POST", path="/things", body=b"{}")
        unit, id_ = replica.unit(), new_id()
        key.take(unit, {"id": str(id_)}, status=202)
        await later(unit, "INSERT INTO analyses (id, user_id, image_url) VALUES (%s, %s, '')", [id_, user])
        try:
            await replica.commit(unit)
        except Taken:
            async with replica.connection() as conn:
                return str((await key.repeated(conn)).content["id"])
        return str(id_)

    async def ask(replica: Database, number: int) -> tuple[int, str]:
        """As a client that comes again until it is answered."""
        await asyncio.sleep(random_.random())
        while True:
            try:
                return number, await once(replica, number)
            except (Unavailable, Busy, StillUnderWay):
                await asyncio.sleep(0.01)

    async def cut() -> None:
        nonlocal cuts
        working = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'test-waste' AND (state <> 'idle' OR random() < 0.2)"
        )
        async with await psycopg.AsyncConnection.connect(postgres.superuser_dsn, autocommit=True) as admin:
            while True:
                await asyncio.sleep(random_.random() / 20)
                cuts += (await admin.execute(working)).rowcount

    cutting = asyncio.create_task(cut())
    answers = await asyncio.gather(*(ask(replica, number) for replica in replicas for number in range(keys)))
    cutting.cancel()
    await asyncio.wait([cutting])
    async with replicas[0].connection() as conn:
        cursor = await conn.execute("SELECT id::text FROM analyses WHERE user_id = %s", [user])
        done = {row[0] for row in await cursor.fetchall()}
    assert cuts
    assert len(set(answers)) == keys
    assert {id_ for _, id_ in answers} == done
    assert len(done) == keys


async def test_whoever_waits_for_a_unit_hears_when_it_is_given_up(users: Database, db: Connect) -> None:
    """The loop is being closed: a group under way, and what is gathered behind it."""
    under_way, behind = users.unit(), users.unit()
    await later(under_way, "SELECT pg_sleep(600)")
    waiting = [asyncio.create_task(users.commit(under_way))]
    await _asleep(await db("userinfo"))
    waiting.append(asyncio.create_task(users.commit(behind)))
    await asyncio.sleep(0)
    committing = users._units._committing
    assert committing is not None
    committing.cancel()
    await asyncio.wait(waiting, timeout=60)
    assert [one.cancelled() for one in waiting] == [True, True]


async def test_whoever_waits_for_a_unit_alone_hears_when_it_is_given_up(users: Database, db: Connect) -> None:
    refused, alone = users.unit(), users.unit()
    await later(refused, "SELECT 1 / 0")
    await later(alone, "SELECT pg_sleep(600)")
    waiting = [asyncio.create_task(users.commit(one)) for one in (refused, alone)]
    await asyncio.wait(waiting[:1], timeout=60)
    await _asleep(await db("userinfo"))
    for task in users._units._alone:
        task.cancel()
    await asyncio.wait(waiting, timeout=60)
    assert [type(waiting[0].exception()), waiting[1].cancelled()] == [psycopg.errors.DivisionByZero, True]


async def _asleep(database: Database) -> None:
    """Return when a statement of the role sleeps."""
    for _ in range(4000):
        async with database.connection() as conn:
            cursor = await conn.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            if cursor.rowcount:
                return
        await asyncio.sleep(0.005)
    raise AssertionError("no statement sleeps")
