"""The project's own items, loaded as `eco2 import items` does."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from functions.recycle_info import dataset, import_items
from shared.db import Database

# Read once: a second of each test otherwise.
FILES = dataset.read_files()
PREFIX = "/api/v1/recycle"


@pytest.fixture
async def database(db: Callable[[str], Awaitable[Database]]) -> Database:
    """recycle-info's database with all items."""
    found = await db("recycle-info")
    async with found.transaction() as conn:
        await import_items.load(conn, FILES)
    return found


@pytest.fixture
async def client(database: Database, serve: Callable[..., Awaitable[httpx.AsyncClient]]) -> httpx.AsyncClient:
    """The service, with all items in its database."""
    return await serve("recycle-info")


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(f"{PREFIX}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()
