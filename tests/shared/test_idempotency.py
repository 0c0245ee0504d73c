"""Idempotency keys under repetition and concurrency."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, AsyncExitStack
from typing import Any
from uuid import UUID

import pytest

from shared.db import Connection, Database
from shared.errors import BadInput
from shared.idempotency import Idempotency, KeyReused, StillUnderWay, Taken
from shared.ids import new_id

Connect = Callable[[str], Awaitable[Database]]


def key(
    user: UUID, body: bytes = b"{}", value: str | None = "k", path: str = "/things", method: str = "POST"
) -> Idempotency:
    return Idempotency(value, user_id=user, method=method, path=path, body=body)


async def test_the_first_answer_comes_again(db: Connect) -> None:
    waste, user = await db("waste"), new_id()
    async with waste.transaction() as conn:
        assert await key(user).claim(conn) is None
        await key(user).keep(conn, {"id": 1}, status=202, headers={"Location": "/things/1"})
    async with waste.transaction() as conn:
        again = await key(user).claim(conn)
        assert again is not None
        assert (again.content, again.status_code, again.headers) == ({"id": 1}, 202, {"Location": "/things/1"})
        # Another path, another method, another person, no key: nothing to do with it.
        assert await key(user, path="/other").claim(conn) is None
        assert await key(user, method="PUT").claim(conn) is None
        assert await key(new_id()).claim(conn) is None
        assert await key(user, value=None).claim(conn) is None


async def test_another_body_is_a_conflict(db: Connect) -> None:
    waste, user = await db("waste"), new_id()
    async with waste.transaction() as conn:
        await key(user).claim(conn)
        await key(user).keep(conn, {}, status=201)
    with pytest.raises(KeyReused):
        async with waste.transaction() as conn:
            await key(user, b'{"x": 1}').claim(conn)


async def test_a_second_copy_at_the_same_instant_does_not_wait(db: Connect) -> None:
    waste, user = await db("waste"), new_id()
    inside, leave = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with waste.transaction() as conn:
            await key(user).claim(conn)
            inside.set()
            await leave.wait()
            await key(user).keep(conn, {}, status=201)

    running = asyncio.create_task(first())
    await inside.wait()
    with pytest.raises(StillUnderWay):
        async with waste.transaction() as conn:
            await key(user).claim(conn)
    leave.set()
    await running
    async with waste.transaction() as conn:
        assert await key(user).claim(conn) is not None


async def test_a_first_copy_that_ends_just_behind_the_look_of_the_second_does_not_make_it_a_first(
    db: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    waste, user = await db("waste"), new_id()
    find = Idempotency.find
    async with AsyncExitStack() as first:
        conn = await first.enter_async_context(waste.transaction())
        await key(user).claim(conn)

        async def find_and_be_late(self: Idempotency, connection: Connection) -> Any:
            found = await find(self, connection)
            await key(user).keep(conn, {}, status=201)
            await first.aclose()
            return found

        monkeypatch.setattr(Idempotency, "find", find_and_be_late)
        with pytest.raises(StillUnderWay):
            async with waste.transaction() as second:
                await key(user).claim(second)


async def test_one_s_key_holds_up_no_other_request(db: Connect) -> None:
    waste, user = await db("waste"), new_id()
    async with waste.transaction() as conn:
        assert await key(user).claim(conn) is None
        for other in (key(new_id()), key(user, value="another"), key(user, path="/other")):
            async with waste.transaction() as meanwhile:
                assert await other.claim(meanwhile) is None


async def test_a_key_is_remembered_for_a_day_whether_its_row_is_swept_or_not(
    db: Connect, later: Callable[[float], AbstractContextManager[None]]
) -> None:
    waste, user = await db("waste"), new_id()
    async with waste.transaction() as conn:
        await key(user).keep(conn, {}, status=201)
    async with waste.transaction() as conn:
        with later(86_400 - 60):
            assert await key(user).find(conn) is not None
        with later(86_401):
            assert await key(user).find(conn) is None
            assert await key(user, b"another body").claim(conn) is None
            await key(user, b"another body").keep(conn, {"second": True}, status=202, headers={"Location": "/second"})
            again = await key(user, b"another body").find(conn)
            assert again is not None
            assert (again.content, again.status_code) == ({"second": True}, 202)
            assert again.headers == {"Location": "/second"}


async def test_a_rolled_back_request_leaves_no_key(db: Connect) -> None:
    waste, user = await db("waste"), new_id()
    with pytest.raises(RuntimeError):
        async with waste.transaction() as conn:
            await key(user).claim(conn)
            await key(user).keep(conn, {}, status=201)
            raise RuntimeError
    async with waste.transaction() as conn:
        assert await key(user).claim(conn) is None


@pytest.mark.parametrize("value", ["", "a b", "é", "x" * 256, "\x7f"])
def test_a_key_is_visible_ascii(value: str) -> None:
    with pytest.raises(BadInput):
        key(new_id(), value=value)


@pytest.mark.parametrize(("seconds", "free"), [(86_400 - 60, False), (86_401, True)])
async def test_a_key_of_a_unit_is_free_again_after_a_day_and_then_the_new_request_s(
    db: Connect, later: Callable[[float], AbstractContextManager[None]], seconds: float, free: bool
) -> None:
    waste, user = await db("waste"), new_id()
    first, other = key(user), key(user, b"another body")
    unit = waste.unit()
    first.take(unit, {"first": True}, status=201, headers={"Location": "/first"})
    await waste.commit(unit)
    with later(seconds):
        unit = waste.unit()
        other.take(unit, {"second": True}, status=202, headers={"Location": "/second"})
        if not free:
            with pytest.raises(Taken):
                await waste.commit(unit)
            return
        await waste.commit(unit)
        async with waste.connection() as conn:
            answer = await other.repeated(conn)
            assert (answer.content, answer.status_code) == ({"second": True}, 202)
            assert answer.headers["Location"] == "/second"
            with pytest.raises(KeyReused):
                await first.repeated(conn)
