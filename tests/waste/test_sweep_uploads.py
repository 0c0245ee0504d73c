"""Uploads that no one had analysed"""

from pathlib import Path

import httpx

from functions.waste.sweep_uploads import sweep_uploads
from shared import clock
from shared.db import Database
from tests.conftest import Person
from tests.waste.conftest import upload


async def to_delete(waste: Database) -> set[str]:
    async with waste.connection() as conn:
        cursor = await conn.execute("SELECT message FROM outbox WHERE actor = 'storage/delete_objects'")
        return {key for (message,) in await cursor.fetchall() for key in message["keys"]}


async def test_an_upload_that_no_one_used_is_gone_before_a_day_is_over(
    client: httpx.AsyncClient, person: Person, waste: Database, tmp_path: Path
) -> None:
    key = await upload(client, person)
    await sweep_uploads(waste)
    assert key not in await to_delete(waste), "its form is still good"
    file = tmp_path / "clock"
    clock.write_offset(str(file), 24 * 3600)
    clock.use_file(str(file))
    try:
        await sweep_uploads(waste)
        assert key in await to_delete(waste)
        await sweep_uploads(waste)
    finally:
        clock.use_file(None)
    async with waste.connection() as conn:
        cursor = await conn.execute("SELECT count(*) FROM uploads WHERE image_key = %s", [key])
        assert await cursor.fetchone() == (0,)
