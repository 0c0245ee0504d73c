"""recycle-info with its items, as the waste service asks it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from functions.recycle_info import dataset
from functions.recycle_info.import_items import load
from runtime.http.host import build
from shared.db import Database
from tests import support


@pytest.fixture
async def recycle(environment: dict[str, str], db: Callable[[str], Awaitable[Database]]) -> AsyncIterator[str]:
    """The address that it answers on."""
    database = await db("recycle_info")
    async with database.transaction() as conn:
        await load(conn, dataset.read_files())
    edge, _ = build(["recycle_info"], environment, background=False, access_log=False)
    async with support.listening(edge) as address:
        yield address
