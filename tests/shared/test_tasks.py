"""What a task's row says from the transaction that accepts it to the one that ends it"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest

from shared import clock, trace
from shared.db import Connection, Database
from shared.ids import new_id
from shared.messages import Message, Outcome, TaskError
from shared.tasks import enqueue, forget, settle, settle_all


class Undone(Exception):
    """What the test wrote is no one else's."""


class Work(Message, frozen=True):
    actor: ClassVar[str] = "*/work_of_a_*"
    time_limit: ClassVar[int] = 90_000
    word: str = ""


class Done(Outcome, frozen=True):
    actor: ClassVar[str] = "waste/done"


@pytest.fixture
async def waste(db: Callable[[str], Awaitable[Database]]) -> Database:
    return await db("waste")


async def row(conn: Connection, columns: str, table: str, id_: UUID) -> Any:
    statement = f"SELECT {columns} FROM {table} WHERE id = %s"
    return await (await conn.execute(statement.encode(), [id_])).fetchone()


def failure(id_: UUID, code: str = "broken", words: str = "It is broken.") -> Outcome:
    long_ago = clock.now() - timedelta(days=400)
    return Outcome(id_, new_id(), new_id(), "failure", long_ago, error=TaskError(code, words))


async def test_an_accepted_task_says_what_is_to_be_done_by_whom_for_whom_and_until_when(waste: Database) -> None:
    subject, traceparent = new_id(), f"00-{new_id().hex}-{'1' * 16}-01"
    token = trace.set_current(traceparent)
    with pytest.raises(Undone):
        async with waste.transaction() as conn:
            id_ = await enqueue(conn, Work("a"), subject=subject, reply=Done, to="storage", delay=60, person="someone")
            found = await row(
                conn,
                "actor, message, reply, subject, traceparent, time_limit, person, due_at - created_at, "
                "abs(extract(epoch FROM created_at - now())) < 600",
                "outbox",
                id_,
            )
            minute = timedelta(minutes=1)
            assert found == (
                *("storage/work_of_a_*", {"word": "a"}, "waste/done", subject, traceparent),
                *(timedelta(seconds=90), "someone", minute, True),
            )
            raise Undone
    trace.reset_current(token)


async def test_a_task_that_is_under_way_is_left_as_it_is(waste: Database) -> None:
    with pytest.raises(Undone):
        async with waste.transaction() as conn:
            id_ = await enqueue(conn, Work("first"), subject=new_id(), to="storage")
            await conn.execute("UPDATE outbox SET attempts = 3 WHERE id = %s", [id_])
            assert await enqueue(conn, Work("second"), subject=new_id(), to="storage", task_id=id_) == id_
            assert await row(conn, "message ->> 'word', attempts", "outbox", id_) == ("first", 3)
            raise Undone


async def test_a_failure_is_kept_with_its_words_from_now_on_once_however_often_it_fails(waste: Database) -> None:
    with pytest.raises(Undone):
        async with waste.transaction() as conn:
            subject, id_ = new_id(), new_id()
            for code in ("first", "second"):  # tried again by an operator, under its own id
                await enqueue(conn, Work(), subject=subject, reply=Done, to="storage", task_id=id_)
                assert await settle(conn, failure(id_, code, f"The {code}."))
                assert not await settle(conn, failure(id_, code))
                said = "error_code, error_message, subject, reply, time_limit, abs(extract(epoch FROM failed_at - now())) < 600"
                assert await row(conn, said, "failed_tasks", id_) == (
                    *("first", "The first.", subject, "waste/done", timedelta(seconds=90), True),
                )
            assert await forget(conn, new_id()) == 0
            assert await forget(conn, subject) == 1
            assert await row(conn, "id", "failed_tasks", id_) is None
            raise Undone


async def test_of_many_that_end_each_ends_its_own_way(waste: Database) -> None:
    with pytest.raises(Undone):
        async with waste.transaction() as conn:
            well, badly, waiting = [await enqueue(conn, Work(), subject=new_id(), to="storage") for _ in range(3)]
            await conn.execute("UPDATE outbox SET attempts = 4, retries = 2 WHERE id = %s", [badly])
            good = Outcome(well, new_id(), new_id(), "success", clock.now())
            assert await settle_all(conn, [good, failure(badly), failure(new_id())]) == {well, badly}
            assert [await row(conn, "1", "outbox", id_) for id_ in (well, badly, waiting)] == [None, None, (1,)]
            assert [await row(conn, "1", "failed_tasks", id_) for id_ in (well, waiting)] == [None, None]
            said = "error_code, error_message, attempts, retries, traceparent, actor, message, created_at < failed_at"
            assert await row(conn, said, "failed_tasks", badly) == (
                *("broken", "It is broken.", 4, 2, None, "storage/work_of_a_*", {"word": ""}, True),
            )
            raise Undone
