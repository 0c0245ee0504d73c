"""A picture's objects in the store, and their end."""

from uuid import UUID

from functions.userinfo import db as sql
from shared.db import Connection
from shared.ids import new_id
from shared.messages import DeleteObjects
from shared.tasks import enqueue


def prefix(avatar_id: UUID) -> str:
    """Below this lie the copies of one picture. It names no person: the address of a picture is public."""
    return f"images/{avatar_id}"


async def remove(conn: Connection, user_id: UUID) -> None:
    """Show no picture any more, and delete the one there is. The result of one still being checked comes too late."""
    state = await sql.select_avatar_state(conn, user_id)
    await sql.update_no_avatar(conn, user_id)
    if state.avatar_id is not None:
        await delete_objects(conn, prefixes=[prefix(state.avatar_id)])


async def delete_objects(
    conn: Connection, *, keys: list[str] | None = None, prefixes: list[str] | None = None, delay: float = 0
) -> None:
    """Have objects deleted, surely, once this transaction commits and `delay` seconds have passed."""
    # A subject of its own: forgetting the tasks of a person or a picture must not forget this one.
    await enqueue(conn, DeleteObjects(keys=keys or [], prefixes=prefixes or []), subject=new_id(), delay=delay)
