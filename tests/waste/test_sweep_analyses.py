"""How long analyses are kept."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from functions.waste import db as sql
from functions.waste import sweep_analyses as module
from functions.waste.sweep_analyses import sweep_analyses
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.settings import Settings

Later = Callable[[float], AbstractContextManager[None]]
A_YEAR = 365 * 86_400.0


async def analysis(waste: Database, user_id: UUID) -> UUID:
    """One that succeeded, with an image and a task that is still open."""
    async with waste.transaction() as conn:
        made = await sql.insert_analysis(conn, new_id(), user_id, f"uploads/{user_id}/x", clock.now())
        await sql.insert_images(conn, made.id, {f"images/{made.id}/a.jpg": "u"}, clock.now())
        await conn.execute("UPDATE analyses SET status = 'success', waste_type = 'glass' WHERE id = %s", [made.id])
        await conn.execute(
            """
            INSERT INTO outbox (id, actor, message, subject, created_at, due_at, time_limit)
            VALUES (%s, 'storage/process_photo', %s, %s, %s, %s, '60 s')
            """,
            [new_id(), Jsonb({}), made.id, clock.now(), clock.now()],
        )
    return made.id


async def kept(waste: Database, user_id: UUID) -> set[UUID]:
    async with waste.connection() as conn:
        return {one.id for one in await sql.select_analyses(conn, user_id, None, 100)}


async def test_by_default_they_are_kept(waste: Database, later: Later) -> None:
    person = uuid4()
    old = await analysis(waste, person)
    with later(A_YEAR * 50):
        await sweep_analyses(waste, Settings())
    assert await kept(waste, person) == {old}


async def test_older_ones_go_with_images_tasks_and_counts_and_newer_ones_stay(waste: Database, later: Later) -> None:
    person = uuid4()
    old = [await analysis(waste, person) for _ in range(3)]
    with later(A_YEAR):
        new = await analysis(waste, person)
        await sweep_analyses(waste, Settings(keep_analyses_days=364))
        assert await kept(waste, person) == {new}
    async with waste.connection() as conn:
        assert (await sql.select_stats(conn, person)).by_type == {"glass": 1}
        cursor = await conn.execute("SELECT count(*) FROM images WHERE analysis_id = ANY(%s)", [old])
        assert await cursor.fetchone() == (0,)
        cursor = await conn.execute("SELECT count(*) FROM outbox WHERE subject = ANY(%s)", [old])
        assert await cursor.fetchone() == (0,)
        cursor = await conn.execute("SELECT message FROM outbox WHERE actor = 'storage/delete_objects'")
        keys = {key for (message,) in await cursor.fetchall() for key in message["keys"]}
    assert {f"images/{id_}/a.jpg" for id_ in old} | {f"uploads/{person}/x"} <= keys
    assert f"images/{new}/a.jpg" not in keys


async def test_one_of_the_last_day_of_its_time_stays(waste: Database, later: Later) -> None:
    person = uuid4()
    old = await analysis(waste, person)
    with later(86_400 * 10 - 60):
        await sweep_analyses(waste, Settings(keep_analyses_days=10))
    assert await kept(waste, person) == {old}
    with later(86_400 * 10 + 60):
        await sweep_analyses(waste, Settings(keep_analyses_days=10))
    assert await kept(waste, person) == set()


async def test_a_run_is_bounded_and_the_next_goes_on(waste: Database, later: Later) -> None:
    person = uuid4()
    for _ in range(5):
        await analysis(waste, person)
    with later(A_YEAR):
        await sweep_analyses(waste, Settings(keep_analyses_days=1))  # those of other tests
        before, module.BATCHES, module.BATCH = (module.BATCHES, module.BATCH), 1, 2
    try:
        person = uuid4()
        for _ in range(5):
            await analysis(waste, person)
        with later(A_YEAR):
            await sweep_analyses(waste, Settings(keep_analyses_days=1))
            assert len(await kept(waste, person)) == 3
    finally:
        module.BATCHES, module.BATCH = before


async def test_one_that_somebody_works_on_is_left_for_the_next_run(waste: Database, later: Later) -> None:
    person = uuid4()
    old = await analysis(waste, person)
    with later(A_YEAR):
        async with waste.transaction() as conn:
            await sql.select_owner_for_update(conn, old)
            await sweep_analyses(waste, Settings(keep_analyses_days=1))
        assert await kept(waste, person) == {old}
        await sweep_analyses(waste, Settings(keep_analyses_days=1))
    assert await kept(waste, person) == set()


async def test_one_whose_id_tells_no_time_is_as_old_as_it_says(waste: Database) -> None:
    # Ids of version 4, as other software makes them.
    person, id_ = uuid4(), UUID(int=uuid4().int >> 40)
    async with waste.connection() as conn:
        await sql.insert_analysis(conn, id_, person, f"uploads/{person}/x", clock.now())
    await sweep_analyses(waste, Settings(keep_analyses_days=1))
    assert await kept(waste, person) == {id_}
