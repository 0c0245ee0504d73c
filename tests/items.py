"""recycle-info's own items for every test that needs them: read once a process, written where they are not there."""

from functools import cache

from functions.recycle_info import dataset, import_items
from shared.db import Connection, Database

# What the tables looked like to PostgreSQL when this process had written them last.
_written: set[tuple[int, int, int]] = set()


@cache
def files() -> list[dataset.File]:
    """The project's items, to be read and not to be changed: `dataset.read_files()` takes most of a second."""
    return dataset.read_files()


async def put(database: Database) -> None:
    """Have all items in the tables, as `eco2 import items` does; nothing is written where they are."""
    found = files()  # before the transaction, which may not be idle for long
    async with database.transaction() as conn:
        if await _seen(conn) not in _written:
            await import_items.load(conn, found)
            _written.add(await _seen(conn))


async def _seen(conn: Connection) -> tuple[int, int, int]:
    """The server, the number of rows, and the sum over the transactions that wrote them: another one for whatever is changed."""
    cursor = await conn.execute(
        """
        SELECT inet_server_port(), count(*), sum(written)::bigint
          FROM (SELECT xmin::text::bigint AS written FROM items
                 UNION ALL
                SELECT xmin::text::bigint FROM categories
                 UNION ALL
                SELECT xmin::text::bigint FROM item_names) AS rows
        """
    )
    [seen] = await cursor.fetchall()
    return seen
