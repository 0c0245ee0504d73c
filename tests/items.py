"""recycle-info's own items for every test that needs them: read once a process, written where they are not there."""

from functools import cache

from emulator.servers.postgres import Postgres
from functions.recycle_info import dataset, import_items
from runtime.services import find
from shared.db import Connection, Database

# What the tables looked like to PostgreSQL when they had been written last: the server's port, and `Seen`.
_written: set[tuple[int, int, int]] = set()
# The number of rows, and the sum over the transactions that wrote them.
Seen = tuple[int, int]


@cache
def files() -> list[dataset.File]:
    """The project's items, to be read and not to be changed: `dataset.read_files()` takes most of a second."""
    return dataset.read_files()


async def put(database: Database) -> None:
    """Have all items in the tables, as `eco2 import items` does; nothing is written where they are."""
    async with database.connection() as conn:
        if await _seen(conn) in _written:
            return
    found = files()  # before the transaction, which may not be idle for long
    async with database.transaction() as conn:
        await import_items.load(conn, found)
        _written.add(await _seen(conn))


async def fill(server: Postgres) -> Seen:
    """Write all items into a server that has none; what is returned is for those who copy it."""
    service = find("recycle-info")
    database = Database(server.dsn(service.database.role, search_path=service.database.schema), name="items")
    await database.open()
    try:
        await put(database)
        async with database.connection() as conn:
            return (await _seen(conn))[1:]
    finally:
        await database.close()


def note(copy: Postgres, seen: Seen) -> None:
    """A copy of that server has the items, too."""
    _written.add((copy.port, *seen))


async def _seen(conn: Connection) -> tuple[int, int, int]:
    """Another one for whatever is changed."""
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
