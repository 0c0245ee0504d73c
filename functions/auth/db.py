"""The SQL of auth: people, their sessions, and the hashes of their refresh tokens."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct
from psycopg.rows import class_row, scalar_row

from shared.db import Connection


class Person(Struct, frozen=True):
    """A person as they see themselves."""

    id: UUID
    username: Annotated[str, Meta(examples=["kim.eco"])]
    email: Annotated[str, Meta(examples=["kim@example.com"])]
    created_at: datetime


class Credentials(Struct, frozen=True):
    """What a password is checked against."""

    id: UUID
    password_hash: str


class SessionRow(Struct, frozen=True):
    """A session; `token` is the SHA-256 (hex) of its one valid refresh token."""

    id: UUID
    user_id: UUID
    token: str
    expires_at: datetime
    created_at: datetime


class ReplacedToken(Struct, frozen=True):
    """A refresh token's past: when it was replaced, and what its successor was derived with."""

    replaced_at: datetime | None
    nonce: bytes | None


async def insert_person(conn: Connection, person: Person, password_hash: str) -> None:
    """Raises psycopg.errors.UniqueViolation when the username or the email belongs to somebody."""
    await conn.execute(
        "INSERT INTO users (id, username, email, password_hash, created_at) VALUES (%s, %s, %s, %s, %s)",
        [person.id, person.username, person.email, password_hash, person.created_at],
    )


async def select_credentials_by_login(conn: Connection, login: str) -> Credentials | None:
    """Find a person by username or email, in any case; the two can't be confused, for only one of them has an @."""
    cur = conn.cursor(row_factory=class_row(Credentials))
    await cur.execute(
        """
        SELECT id, password_hash
        FROM users
        WHERE lower(username) = lower(%(login)s)
        UNION ALL
        SELECT id, password_hash
        FROM users
        WHERE lower(email) = lower(%(login)s)
        """,
        {"login": login},
    )
    return await cur.fetchone()


async def select_credentials(conn: Connection, user_id: UUID, session_id: UUID) -> Credentials | None:
    """The person's credentials, while this session of theirs lives."""
    cur = conn.cursor(row_factory=class_row(Credentials))
    await cur.execute(
        """
        SELECT u.id, u.password_hash
        FROM users u
        JOIN sessions s ON s.user_id = u.id
        WHERE u.id = %s AND s.id = %s
        """,
        [user_id, session_id],
    )
    return await cur.fetchone()


async def select_unchanged(conn: Connection, credentials: Credentials) -> bool:
    """Whether the person still has this password, which then can't be changed before the transaction ends."""
    cur = await conn.execute(
        "SELECT id FROM users WHERE id = %s AND password_hash = %s FOR SHARE",
        [credentials.id, credentials.password_hash],
    )
    return await cur.fetchone() is not None


async def select_person(conn: Connection, user_id: UUID, session_id: UUID) -> Person | None:
    """The person, while this session of theirs lives: here a revocation counts at once."""
    cur = conn.cursor(row_factory=class_row(Person))
    await cur.execute(
        """
        SELECT u.id, u.username, u.email, u.created_at
        FROM users u
        JOIN sessions s ON s.user_id = u.id
        WHERE u.id = %s AND s.id = %s
        """,
        [user_id, session_id],
    )
    return await cur.fetchone()


async def update_password(conn: Connection, user_id: UUID, old_hash: str, new_hash: str) -> bool:
    """Replace a password hash, unless another request has replaced it meanwhile; return whether it was replaced."""
    cur = await conn.execute(
        "UPDATE users SET password_hash = %s WHERE id = %s AND password_hash = %s", [new_hash, user_id, old_hash]
    )
    return cur.rowcount == 1


async def delete_person(conn: Connection, user_id: UUID) -> list[UUID]:
    """Delete a person with sessions and tokens; return the ids of the sessions. Empty for a person already gone."""
    # Sessions before the person, the order in which a refresh takes its locks; and again for logins that were under way
    # until the person's row was locked.
    sessions = await delete_sessions(conn, user_id)
    await conn.execute("SELECT id FROM users WHERE id = %s FOR UPDATE", [user_id])
    sessions += await delete_sessions(conn, user_id)
    await conn.execute("DELETE FROM refresh_tokens WHERE user_id = %s", [user_id])
    await conn.execute("DELETE FROM idempotency WHERE user_id = %s", [user_id])
    await conn.execute("DELETE FROM users WHERE id = %s", [user_id])
    return sessions


async def insert_session(conn: Connection, session: SessionRow) -> None:
    await conn.execute(
        "INSERT INTO sessions (id, user_id, token, expires_at, created_at) VALUES (%s, %s, %s, %s, %s)",
        [session.id, session.user_id, session.token, session.expires_at, session.created_at],
    )


async def select_sessions(
    conn: Connection, user_id: UUID, now: datetime, after: tuple[datetime, UUID] | None, limit: int
) -> list[SessionRow]:
    """The person's live sessions, newest first, from the row behind `after`."""
    cur = conn.cursor(row_factory=class_row(SessionRow))
    created_at, id_ = after or (None, None)
    await cur.execute(
        """
        SELECT id, user_id, token, expires_at, created_at
        FROM sessions
        WHERE user_id = %(user_id)s
            AND expires_at > %(now)s
            AND (%(id)s::uuid IS NULL OR (created_at, id) < (%(created_at)s::timestamp, %(id)s))
        ORDER BY created_at DESC, id DESC
        LIMIT %(limit)s
        """,
        {
            "user_id": user_id,
            "now": now,
            # Naive: a cast from timestamptz would go through the connection's time zone.
            "created_at": created_at.replace(tzinfo=None) if created_at else None,
            "id": id_,
            "limit": limit,
        },
    )
    return await cur.fetchall()


async def select_session_for_update(conn: Connection, user_id: UUID, session_id: UUID) -> SessionRow | None:
    cur = conn.cursor(row_factory=class_row(SessionRow))
    await cur.execute(
        """
        SELECT id, user_id, token, expires_at, created_at
        FROM sessions
        WHERE id = %s AND user_id = %s
        FOR UPDATE
        """,
        [session_id, user_id],
    )
    return await cur.fetchone()


async def select_session_by_token_for_update(conn: Connection, token_hash: str) -> SessionRow | None:
    """The session that this refresh token belongs or once belonged to, locked: refreshes of a session take turns."""
    cur = conn.cursor(row_factory=class_row(SessionRow))
    await cur.execute(
        """
        SELECT id, user_id, token, expires_at, created_at
        FROM sessions
        WHERE id = (SELECT session_id FROM refresh_tokens WHERE token = %s)
        FOR UPDATE
        """,
        [token_hash],
    )
    return await cur.fetchone()


async def update_session(conn: Connection, session_id: UUID, token_hash: str, expires_at: datetime) -> None:
    await conn.execute(
        "UPDATE sessions SET token = %s, expires_at = %s WHERE id = %s", [token_hash, expires_at, session_id]
    )


async def delete_session(conn: Connection, session_id: UUID) -> None:
    """Delete a session; its refresh tokens go with it."""
    await conn.execute("DELETE FROM sessions WHERE id = %s", [session_id])


async def delete_sessions(conn: Connection, user_id: UUID, *, but: UUID | None = None) -> list[UUID]:
    """Delete all sessions of a person, but one; return their ids."""
    cur = conn.cursor(row_factory=scalar_row)
    await cur.execute("DELETE FROM sessions WHERE user_id = %s AND id IS DISTINCT FROM %s RETURNING id", [user_id, but])
    return await cur.fetchall()


async def delete_expired(conn: Connection, now: datetime) -> int:
    """Delete sessions and refresh tokens whose time is over; return how many rows were deleted by name."""
    sessions = await conn.execute("DELETE FROM sessions WHERE expires_at <= %s", [now])
    tokens = await conn.execute("DELETE FROM refresh_tokens WHERE expires_at <= %s", [now])
    return sessions.rowcount + tokens.rowcount


async def insert_refresh_token(
    conn: Connection, id_: UUID, session_id: UUID, user_id: UUID, token_hash: str, expires_at: datetime
) -> None:
    await conn.execute(
        "INSERT INTO refresh_tokens (id, session_id, user_id, token, expires_at) VALUES (%s, %s, %s, %s, %s)",
        [id_, session_id, user_id, token_hash, expires_at],
    )


async def select_replaced_token(conn: Connection, token_hash: str) -> ReplacedToken | None:
    """To be called with the session locked, in a statement after the lock: else it may show the past."""
    cur = conn.cursor(row_factory=class_row(ReplacedToken))
    await cur.execute("SELECT replaced_at, nonce FROM refresh_tokens WHERE token = %s", [token_hash])
    return await cur.fetchone()


async def update_replaced_token(
    conn: Connection, session_id: UUID, token_hash: str, replaced_at: datetime, nonce: bytes
) -> None:
    """Mark a token as replaced, and forget what the present one was derived with."""
    await conn.execute(
        "UPDATE refresh_tokens SET nonce = NULL WHERE session_id = %s AND nonce IS NOT NULL", [session_id]
    )
    await conn.execute(
        "UPDATE refresh_tokens SET replaced_at = %s, nonce = %s WHERE token = %s", [replaced_at, nonce, token_hash]
    )
