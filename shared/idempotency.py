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
from shared.together import Unit, later

LIFETIME = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


_KEEP = """
INSERT INTO idempotency (user_id, scope, key, body_hash, status, headers, answer, created_at)
VALUES (%(user)s, %(scope)s, %(key)s, %(body_hash)s, %(status)s, %(headers)s, %(answer)s, %(now)s)
ON CONFLICT (user_id, scope, key) DO UPDATE
SET body_hash = excluded.body_hash, status = excluded.status, headers = excluded.headers,
    answer = excluded.answer, created_at = excluded.created_at
"""
# Changes no row where the key is held by another transaction, or has an answer that is not too old.
_TAKE = """
INSERT INTO idempotency (user_id, scope, key, body_hash, status, headers, answer, created_at)
SELECT %(user)s, %(scope)s, %(key)s, %(body_hash)s, %(status)s, %(headers)s, %(answer)s, %(now)s
WHERE pg_try_advisory_xact_lock(%(lock)s)
ON CONFLICT (user_id, scope, key) DO UPDATE
SET body_hash = excluded.body_hash, status = excluded.status, headers = excluded.headers,
    answer = excluded.answer, created_at = excluded.created_at
WHERE idempotency.created_at <= %(oldest)s
"""


class Taken(Exception):
    """The key is another request's: `Idempotency.repeated` has its answer."""


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
        cursor = await later(connection, "SELECT pg_try_advisory_xact_lock(%s)", [self._lock()])
        seen = await self.find(connection)
        row = await cursor.fetchone()
        if row is None or not row[0]:
            raise StillUnderWay
        return seen

    async def keep(
        self, connection: Connection, answer: Any, *, status: int, headers: Mapping[str, str] | None = None
    ) -> Response[Any]:
        """Keep the answer for repeats of this request, which has claimed the key, and return it as the response."""
        content = msgspec.to_builtins(answer)
        if self.key is not None:
            await later(connection, _KEEP, self._row(content, status, headers))
        return _response(content, status, headers or {})

    def take(self, unit: Unit, answer: Any, *, status: int, headers: Mapping[str, str] | None = None) -> Response[Any]:
        """Claim the key and keep the answer in one statement of a unit, which fails with `Taken` unless the key is free."""
        content = msgspec.to_builtins(answer)
        if self.key is not None:
            unit.expect(_TAKE, self._row(content, status, headers), Taken)
        return _response(content, status, headers or {})

    async def repeated(self, connection: Connection) -> Response[Any]:
        """The answer that has the key which could not be taken.

        Raises:
            KeyReused: the key came with another body before.
            StillUnderWay: there is none yet.
        """
        seen = await self.find(connection)
        if seen is None:
            raise StillUnderWay
        return seen

    def _row(self, content: Any, status: int, headers: Mapping[str, str] | None) -> dict[str, Any]:
        now = clock.now()
        return {
            "user": self.user_id,
            "scope": self.scope,
            "key": self.key,
            "body_hash": self.body_hash,
            "status": status,
            "headers": Jsonb(dict(headers or {})),
            "answer": Jsonb(content),
            "now": now,
            "oldest": now - LIFETIME,
            "lock": self._lock(),
        }

    def _lock(self) -> int:
        """The key as the number of an advisory lock: of two copies at the same instant the second must not wait but say 409."""
        text = f"{self.user_id} {self.scope} {self.key}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def _response(content: Any, status: int, headers: Mapping[str, str]) -> Response[Any]:
    return Response(content, status_code=status, headers=dict(headers))
