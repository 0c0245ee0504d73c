"""The SQL of auth: people, their sessions, and the hashes of their refresh tokens."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct
from psycopg.rows import class_row, scalar_row

from shared.db import Connection
from shared.fields import Time
from shared.pages import row_behind


class Person(Struct, frozen=True):
    """A person as they see themselves.

    Attributes:
        id: the person's, everywhere.
        username, email: either can be logged in with.
        created_at: when they registered.
        email_verified: whether the address was shown to be theirs.
        has_password: false for who has only ever signed in with a provider.
    """

    id: UUID
    username: Annotated[str, Meta(examples=["kim.eco"])]
    email: Annotated[str, Meta(examples=["kim@example.com"])]
    created_at: Time
    email_verified: bool = False
    has_password: bool = True


class Credentials(Struct, frozen=True):
    """What a password is checked against; `signed_in_at` is when the session began that asks."""

    id: UUID
    password_hash: str
    has_password: bool = True
    signed_in_at: datetime | None = None


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
        """
        INSERT INTO users (id, username, email, password_hash, created_at, has_password, email_verified_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        [
            person.id,
            person.username,
            person.email,
            password_hash,
            person.created_at,
            person.has_password,
            person.created_at if person.email_verified else None,
        ],
    )


async def select_credentials_by_login(conn: Connection, login: str) -> Credentials | None:
    """Find a person by username or email, in any case; the two can't be confused, because only one of them has an @."""
    cur = conn.cursor(row_factory=class_row(Credentials))
    # Made small here, as for the bucket that wrong passwords are counted in (shared.rates.bucket): PostgreSQL makes an i of İ
    # too, and each way to write a name that leads to a person would be counted apart.
    await cur.execute(
        """
        SELECT id, password_hash FROM users WHERE lower(username) = %(login)s
        UNION ALL
        SELECT id, password_hash FROM users WHERE lower(email) = %(login)s
        """,
        {"login": login.lower()},
    )
    return await cur.fetchone()


async def select_credentials(conn: Connection, user_id: UUID, session_id: UUID) -> Credentials | None:
    """The person's credentials, while this session of theirs lives."""
    cur = conn.cursor(row_factory=class_row(Credentials))
    await cur.execute(
        """
        SELECT u.id, u.password_hash, u.has_password, s.created_at AS signed_in_at
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


async def lock_person(conn: Connection, user_id: UUID) -> bool:
    """Whether the person is there, who then can't be erased before the transaction ends: what is written may name them."""
    cur = await conn.execute("SELECT id FROM users WHERE id = %s FOR KEY SHARE", [user_id])
    return await cur.fetchone() is not None


async def select_person(conn: Connection, user_id: UUID, session_id: UUID) -> Person | None:
    """The person, while this session of theirs lives: here a revocation counts at once."""
    cur = conn.cursor(row_factory=class_row(Person))
    await cur.execute(
        """
        SELECT u.id, u.username, u.email, u.created_at, u.has_password,
               u.email_verified_at IS NOT NULL AS email_verified
        FROM users u
        JOIN sessions s ON s.user_id = u.id
        WHERE u.id = %s AND s.id = %s
        """,
        [user_id, session_id],
    )
    return await cur.fetchone()


async def select_person_by_id(conn: Connection, user_id: UUID) -> Person | None:
    """The person, signed in or not: for what is done in their name without a session."""
    cur = conn.cursor(row_factory=class_row(Person))
    await cur.execute(
        """
        SELECT id, username, email, created_at, has_password, email_verified_at IS NOT NULL AS email_verified
        FROM users
        WHERE id = %s
        """,
        [user_id],
    )
    return await cur.fetchone()


async def select_id_by_email(conn: Connection, email: str) -> UUID | None:
    """Whose address it is, in any case."""
    cur = conn.cursor(row_factory=scalar_row)
    await cur.execute("SELECT id FROM users WHERE lower(email) = lower(%s)", [email])
    return await cur.fetchone()


async def update_password(conn: Connection, user_id: UUID, old_hash: str, new_hash: str) -> bool:
    """Replace a password hash, unless another request has replaced it meanwhile; return whether it was replaced.

    Links that were sent to set a new password end with the old one.
    """
    cur = await conn.execute(
        "UPDATE users SET password_hash = %s, has_password = TRUE WHERE id = %s AND password_hash = %s",
        [new_hash, user_id, old_hash],
    )
    await conn.execute("DELETE FROM mail_tokens WHERE user_id = %s AND purpose = 'reset'", [user_id])
    return cur.rowcount == 1


async def update_password_by_mail(conn: Connection, user_id: UUID, new_hash: str) -> None:
    """Set a password for who has proved the address."""
    await conn.execute("UPDATE users SET password_hash = %s, has_password = TRUE WHERE id = %s", [new_hash, user_id])
    await conn.execute("DELETE FROM mail_tokens WHERE user_id = %s AND purpose = 'reset'", [user_id])


async def update_email_verified(conn: Connection, user_id: UUID, email: str, now: datetime) -> None:
    """Note that the person has the address, while it is still theirs."""
    await conn.execute(
        "UPDATE users SET email_verified_at = COALESCE(email_verified_at, %s) WHERE id = %s AND email = %s",
        [now, user_id, email],
    )
    await conn.execute("DELETE FROM mail_tokens WHERE user_id = %s AND purpose = 'verify'", [user_id])


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
        """
        INSERT INTO sessions (id, user_id, token, expires_at, created_at)
        VALUES (%s, %s, %s, %s, %s)
        """,
        [session.id, session.user_id, session.token, session.expires_at, session.created_at],
    )


async def select_sessions(
    conn: Connection, user_id: UUID, now: datetime, after: tuple[datetime, UUID] | None, limit: int
) -> list[SessionRow]:
    """The person's live sessions, newest first, from the row behind `after`."""
    cur = conn.cursor(row_factory=class_row(SessionRow))
    created_at, id_ = row_behind(after)
    await cur.execute(
        """
        SELECT id, user_id, token, expires_at, created_at
        FROM sessions
        WHERE user_id = %(user_id)s
          AND expires_at > %(now)s
          AND (created_at, id) < (%(created_at)s::timestamp, %(id)s)
        ORDER BY created_at DESC, id DESC
        LIMIT %(limit)s
        """,
        {"user_id": user_id, "now": now, "created_at": created_at, "id": id_, "limit": limit},
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


async def delete_expired(conn: Connection, now: datetime, most: int) -> int:
    """Delete what has passed its time, of each table `most` rows at the most; return how many rows were deleted by name."""
    deleted = 0
    for statement in _EXPIRED:
        cur = await conn.execute(statement, {"now": now, "most": most})
        deleted += cur.rowcount
    return deleted


# By `ctid`: a batch of the oldest, found by the index of expires_at.
_EXPIRED = (
    """
    DELETE FROM sessions WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM sessions WHERE expires_at <= %(now)s ORDER BY expires_at LIMIT %(most)s))
    """,
    """
    DELETE FROM refresh_tokens WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM refresh_tokens WHERE expires_at <= %(now)s ORDER BY expires_at LIMIT %(most)s))
    """,
    """
    DELETE FROM mail_tokens WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM mail_tokens WHERE expires_at <= %(now)s ORDER BY expires_at LIMIT %(most)s))
    """,
    """
    DELETE FROM oauth_flows WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM oauth_flows WHERE expires_at <= %(now)s ORDER BY expires_at LIMIT %(most)s))
    """,
    """
    DELETE FROM oauth_codes WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM oauth_codes WHERE expires_at <= %(now)s ORDER BY expires_at LIMIT %(most)s))
    """,
)


async def insert_refresh_token(
    conn: Connection, id_: UUID, session_id: UUID, user_id: UUID, token_hash: str, expires_at: datetime
) -> None:
    await conn.execute(
        """
        INSERT INTO refresh_tokens (id, session_id, user_id, token, expires_at)
        VALUES (%s, %s, %s, %s, %s)
        """,
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


class MailToken(Struct, frozen=True):
    """What a mailed token means."""

    user_id: UUID
    email: str


async def insert_mail_token(
    conn: Connection, token_hash: str, user_id: UUID, purpose: str, email: str, expires_at: datetime
) -> None:
    await conn.execute(
        """
        INSERT INTO mail_tokens (token, user_id, purpose, email, expires_at)
        VALUES (%s, %s, %s, %s, %s)
        """,
        [token_hash, user_id, purpose, email, expires_at],
    )


async def select_mail_token(conn: Connection, token_hash: str, purpose: str, now: datetime) -> MailToken | None:
    """What the token means, used up by nothing yet."""
    cur = conn.cursor(row_factory=class_row(MailToken))
    await cur.execute(
        "SELECT user_id, email FROM mail_tokens WHERE token = %s AND purpose = %s AND expires_at > %s",
        [token_hash, purpose, now],
    )
    return await cur.fetchone()


async def delete_mail_token(conn: Connection, token_hash: str, purpose: str, now: datetime) -> MailToken | None:
    """Use a token up: what it meant, or None for one that is used, expired or none at all."""
    cur = conn.cursor(row_factory=class_row(MailToken))
    await cur.execute(
        """
        DELETE FROM mail_tokens
        WHERE token = %s AND purpose = %s AND expires_at > %s
        RETURNING user_id, email
        """,
        [token_hash, purpose, now],
    )
    return await cur.fetchone()


class Identity(Struct, frozen=True):
    """A provider that the person signs in with.

    Attributes:
        provider: its name in addresses.
        email: the address that it named; null where it named none.
        created_at: when it was added.
    """

    provider: Annotated[str, Meta(examples=["kakao"])]
    email: Annotated[str | None, Meta(examples=["kim@example.com"])]
    created_at: Time


async def select_identities(conn: Connection, user_id: UUID) -> list[Identity]:
    """All of the person's, by name; there are no more than providers."""
    cur = conn.cursor(row_factory=class_row(Identity))
    await cur.execute(
        "SELECT provider, email, created_at FROM identities WHERE user_id = %s ORDER BY provider", [user_id]
    )
    return await cur.fetchall()


async def select_user_of_identity(conn: Connection, provider: str, subject: str) -> UUID | None:
    """Who signs in as that person of that provider."""
    cur = conn.cursor(row_factory=scalar_row)
    await cur.execute("SELECT user_id FROM identities WHERE provider = %s AND subject = %s", [provider, subject])
    return await cur.fetchone()


async def insert_identity(
    conn: Connection, user_id: UUID, provider: str, subject: str, email: str | None, now: datetime
) -> bool:
    """Link it; return whether it is the person's now. False: it, or another one of that provider, is linked already."""
    cur = conn.cursor(row_factory=scalar_row)
    await cur.execute(
        """
        WITH fresh AS (
            INSERT INTO identities (provider, subject, user_id, email, created_at)
            VALUES (%(provider)s, %(subject)s, %(user_id)s, %(email)s, %(now)s)
            ON CONFLICT DO NOTHING
            RETURNING user_id
        )
        SELECT user_id FROM fresh
        UNION ALL
        SELECT user_id FROM identities WHERE provider = %(provider)s AND subject = %(subject)s
        """,
        {"provider": provider, "subject": subject, "user_id": user_id, "email": email, "now": now},
    )
    return await cur.fetchone() == user_id


async def update_identity_email(conn: Connection, provider: str, subject: str, email: str | None) -> None:
    """Note the address that the provider names now."""
    await conn.execute(
        """
        UPDATE identities SET email = %(email)s
        WHERE provider = %(provider)s AND subject = %(subject)s AND email IS DISTINCT FROM %(email)s
        """,
        {"provider": provider, "subject": subject, "email": email},
    )


async def delete_identity(conn: Connection, user_id: UUID, provider: str) -> bool | None:
    """Unlink it, unless it is the person's last way in: then False. None: it was not linked."""
    await conn.execute("SELECT id FROM users WHERE id = %s FOR UPDATE", [user_id])
    cur = await conn.execute(
        """
        SELECT u.has_password OR EXISTS (SELECT FROM identities WHERE user_id = u.id AND provider <> %(provider)s)
        FROM users u
        JOIN identities i ON i.user_id = u.id AND i.provider = %(provider)s
        WHERE u.id = %(user_id)s
        """,
        {"user_id": user_id, "provider": provider},
    )
    row = await cur.fetchone()
    if row is not None and row[0]:
        await conn.execute("DELETE FROM identities WHERE user_id = %s AND provider = %s", [user_id, provider])
    return None if row is None else bool(row[0])


class Flow(Struct, frozen=True):
    """A sign-in under way at a provider; with `user_id`, of a person who adds the provider to their account."""

    state: str
    provider: str
    nonce: str
    verifier: str
    return_to: str
    code_challenge: str
    user_id: UUID | None
    expires_at: datetime


async def insert_flow(conn: Connection, flow: Flow) -> None:
    await conn.execute(
        """
        INSERT INTO oauth_flows (state, provider, nonce, verifier, return_to, code_challenge, user_id, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            flow.state,
            flow.provider,
            flow.nonce,
            flow.verifier,
            flow.return_to,
            flow.code_challenge,
            flow.user_id,
            flow.expires_at,
        ],
    )


async def delete_flow(conn: Connection, state: str, provider: str, now: datetime) -> Flow | None:
    """Take up what the provider has sent back, once."""
    cur = conn.cursor(row_factory=class_row(Flow))
    await cur.execute(
        """
        DELETE FROM oauth_flows
        WHERE state = %s AND provider = %s AND expires_at > %s
        RETURNING state, provider, nonce, verifier, return_to, code_challenge, user_id, expires_at
        """,
        [state, provider, now],
    )
    return await cur.fetchone()


class Code(Struct, frozen=True):
    """What an app exchanges for tokens; with `provider`, the exchange links that identity to the person."""

    code: str
    user_id: UUID
    code_challenge: str
    provider: str | None
    subject: str | None
    email: str | None
    expires_at: datetime


async def insert_code(conn: Connection, code: Code) -> None:
    await conn.execute(
        """
        INSERT INTO oauth_codes (code, user_id, code_challenge, provider, subject, email, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        [code.code, code.user_id, code.code_challenge, code.provider, code.subject, code.email, code.expires_at],
    )


async def delete_code(conn: Connection, code: str, now: datetime) -> Code | None:
    """Use a code up."""
    cur = conn.cursor(row_factory=class_row(Code))
    await cur.execute(
        """
        DELETE FROM oauth_codes
        WHERE code = %s AND expires_at > %s
        RETURNING code, user_id, code_challenge, provider, subject, email, expires_at
        """,
        [code, now],
    )
    return await cur.fetchone()
