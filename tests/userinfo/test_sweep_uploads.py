"""Uploads that no one used"""

from pathlib import Path

import httpx
import pytest

from functions.userinfo.sweep_uploads import sweep_uploads
from shared import clock
from shared.db import Database
from tests.conftest import Person
from tests.userinfo.conftest import (
    deleted,
    upload,
)


async def test_a_key_has_its_hour(
    userinfo: httpx.AsyncClient, person: Person, tmp_path: Path, database: Database
) -> None:
    key = await upload(userinfo, person)
    file = tmp_path / "clock"
    clock.write_offset(str(file), 0)
    clock.use_file(str(file))
    try:
        clock.write_offset(str(file), 3601)
        async with database.transaction() as conn:
            from shared import uploads

            with pytest.raises(uploads.UploadNotFound):
                await uploads.redeem(conn, person.id, key)
        # What no one used is gone before a day is over.
        clock.write_offset(str(file), 24 * 3600)
        await sweep_uploads(database)
        assert key in (await deleted(database))[0]
        async with database.connection() as conn:
            cursor = await conn.execute("SELECT FROM uploads WHERE image_key = %s", [key])
            assert await cursor.fetchone() is None, "it would be deleted again each hour"
    finally:
        clock.use_file(None)
