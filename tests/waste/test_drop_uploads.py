"""Raw uploads of analyses that have ended"""

from uuid import UUID

import httpx
import pytest
from psycopg.types.json import Jsonb

from functions.waste import db as sql
from functions.waste.drop_uploads import drop_uploads
from functions.waste.photo_processed import photo_processed
from shared.db import Database
from shared.messages import TaskError
from tests.conftest import Person, Take
from tests.waste.conftest import accept, finish, outbox, outcome, processed


async def told(waste: Database, person: Person) -> list[list[str]]:
    """What of this person's the storage worker is told to delete, a list a task."""
    async with waste.connection() as conn:
        cursor = await conn.execute("SELECT message -> 'keys' FROM outbox WHERE actor = 'storage/delete_objects'")
        return [own for (keys,) in await cursor.fetchall() if (own := [key for key in keys if str(person.id) in key])]


async def fail(waste: Database, take: Take, id_: str) -> None:
    [(task, *_)] = await outbox(waste, id_)
    await take(photo_processed, outcome(task, id_, error=TaskError("not-an-image", "The file is no image.")))


async def test_uploads_of_what_has_ended_well_or_not_are_deleted_by_one_task_and_once(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    ids = [str((await accept(client, person))["id"]) for _ in range(3)]
    await finish(take, waste, ids[0])
    await fail(waste, take, ids[1])
    [(task, *_)] = await outbox(waste, ids[2])
    await take(photo_processed, outcome(task, ids[2], processed(ids[2])))
    for _ in range(2):
        await drop_uploads(waste)
    [keys] = await told(waste, person)
    assert len(set(keys)) == 2, "the third one is still looked at, and may be processed again"
    async with waste.connection() as conn:
        cursor = await conn.execute("SELECT FROM outbox WHERE message = %s", [Jsonb({"keys": [], "prefixes": []})])
        assert cursor.rowcount == 0, "no task where there is nothing to delete"
        cursor = await conn.execute(
            "SELECT id FROM analyses WHERE user_id = %s AND upload_key IS NOT NULL", [person.id]
        )
        assert await cursor.fetchall() == [(UUID(ids[2]),)]


async def test_a_run_that_is_cut_off_forgets_no_upload(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    id_ = str((await accept(client, person))["id"])
    await finish(take, waste, id_)
    with pytest.raises(ConnectionError):
        async with waste.transaction() as conn:
            assert await sql.update_ended_uploads(conn)
            raise ConnectionError
    await drop_uploads(waste)
    assert [len(keys) for keys in await told(waste, person)] == [1]


async def test_an_analysis_that_is_being_deleted_holds_up_no_one_and_takes_its_upload_along(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    ids = [str((await accept(client, person))["id"]) for _ in range(2)]
    for id_ in ids:
        await finish(take, waste, id_)
    async with waste.transaction() as conn:
        owner = await sql.select_owner_for_update(conn, UUID(ids[0]))
        assert owner is not None
        await drop_uploads(waste)
        assert [key == owner.upload_key for [key] in await told(waste, person)] == [False]
    await drop_uploads(waste)
    assert sorted(len(keys) for keys in await told(waste, person)) == [1, 1]


async def test_more_than_one_statement_takes_are_dropped_in_one_run(waste: Database, person: Person) -> None:
    async with waste.connection() as conn:
        await conn.execute(
            """
            INSERT INTO analyses (id, user_id, image_url, upload_key, status)
            SELECT gen_random_uuid(), %s, '', 'uploads/' || %s || '/' || n, 'success'
            FROM generate_series(1, 501) AS n
            """,
            [person.id, str(person.id)],
        )
    await drop_uploads(waste)
    assert sum(len(keys) for keys in await told(waste, person)) == 501
