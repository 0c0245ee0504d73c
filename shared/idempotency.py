"""Idempotency keys: the same POST sent twice takes effect once and gets the same answer.

The key's row is in the service's own schema and is written in the transaction of the effect itself, so both happen or
neither does. The relay deletes rows after 24 hours.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response
from psycopg.types.json import Jsonb

from shared import clock
from shared.db import Connection
from shared.errors import BadInput, Conflict
from shared.together import later

LIFETIME = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class KeyReused(Conflict):
    """This Idempotency-Key was used with another body: take a new key for a new request."""

    type = "urn:eco2:idempotency:key-reused"


class StillUnderWay(Conflict):
    """The first request with this Idempotency-Key is still under way: try again in a moment."""

    type = "urn:eco2:idempotency:under-way"


class Idempotency:
    """The key of one request, bound to its user, method, path and body. Without a key both methods do nothing."""

    def __init__(self, key: str | None, *, user_id: UUID, method: str, path: str, body: bytes) -> None:
        if key is not None and not _KEY.fullmatch(key):
            raise BadInput("Idempotency-Key", "1 to 255 visible ASCII characters")
        self.key = key
        self.user_id = user_id
        self.scope = f"{method} {path}"
        self.body_hash = hashlib.sha256(body).digest()

    async def find(self, connection: Connection) -> Response[Any] | None:
        """What the first request with this key was answered, if there was one.

        For a handler that must ask somebody else (a store) before its transaction: a repeat must not depend on that.

        Raises:
            KeyReused: the key came with another body before.
        """
        if self.key is None:
            return None
        cursor = await connection.execute(
            """
            SELECT body_hash, status, headers, answer
            FROM idempotency
            WHERE user_id = %s AND scope = %s AND key = %s AND created_at > %s
            """,
            [self.user_id, self.scope, self.key, clock.now() - LIFETIME],
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        body_hash, status, headers, answer = row
        if bytes(body_hash) != self.body_hash:
            raise KeyReused
        return _response(answer, status, headers)

    async def claim(self, connection: Connection) -> Response[Any] | None:
        """Take the key inside the transaction; answer what the first request with it got, or None for the first.

        Raises:
            KeyReused: the key came with another body before.
            StillUnderWay: another transaction holds the key now.
        """
        if self.key is None:
            return None
        # Two copies at the same instant: the second must not wait on the first one's commit but say 409.
        lock = hashlib.blake2b(f"{self.user_id} {self.scope} {self.key}".encode(), digest_size=8).digest()
        cursor = await later(
            connection, "SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(lock, "big", signed=True)]
        )
        seen = await self.find(connection)
        row = await cursor.fetchone()
        if row is None or not row[0]:
            raise StillUnderWay
        return seen

    async def keep(
        self, connection: Connection, answer: Any, *, status: int, headers: Mapping[str, str] | None = None
    ) -> Response[Any]:
        """Keep the answer for repeats of this request, and return it as the response."""
        content = msgspec.to_builtins(answer)
        if self.key is not None:
            await later(
                connection,
                """
                INSERT INTO idempotency (user_id, scope, key, body_hash, status, headers, answer, created_at)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
                ON CONFLICT (user_id, scope, key) DO UPDATE
                SET body_hash = excluded.body_hash, status = excluded.status, headers = excluded.headers,
                    answer = excluded.answer, created_at = excluded.created_at
                """,
                [
                    self.user_id,
                    self.scope,
                    self.key,
                    self.body_hash,
                    status,
                    Jsonb(dict(headers or {})),
                    Jsonb(content),
                    clock.now(),
                ],
            )
        return _response(content, status, headers or {})


def _response(content: Any, status: int, headers: Mapping[str, str]) -> Response[Any]:
    return Response(content, status_code=status, headers=dict(headers))
