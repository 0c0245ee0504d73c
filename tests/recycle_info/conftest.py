"""The project's own items, loaded as `eco2 import items` does."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from shared.db import Database
from tests import items

PREFIX = "/api/v1/recycle"


@pytest.fixture
async def database(db: Callable[[str], Awaitable[Database]]) -> Database:
    """recycle-info's database with all items."""
    found = await db("recycle-info")
    await items.put(found)
    return found


@pytest.fixture
async def client(database: Database, serve: Callable[..., Awaitable[httpx.AsyncClient]]) -> httpx.AsyncClient:
    """The service, with all items in its database."""
    return await serve("recycle-info")


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(f"{PREFIX}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()
