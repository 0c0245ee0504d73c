"""A blocking connection to PostgreSQL for the threads and processes that have no event loop: relays and syncers."""

from typing import Any

import psycopg

# A server whose machine is gone says nothing at all: noticed within some 15 s instead of the system's two hours.
_KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


def connect(dsn: str, name: str) -> psycopg.Connection[Any]:
    """Connect in autocommit; `name` is what pg_stat_activity shows.

    Raises:
        psycopg.OperationalError: not within 3 s.
    """
    return psycopg.connect(dsn, autocommit=True, connect_timeout=3, application_name=name, **_KEEPALIVE)
