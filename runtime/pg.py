"""A blocking connection to PostgreSQL for the threads and processes that have no event loop: relays and syncers."""

from typing import Any

import psycopg

from shared.keepalive import KEEPALIVE


def connect(dsn: str, name: str) -> psycopg.Connection[Any]:
    """Connect in autocommit; `name` is what pg_stat_activity shows.

    Raises:
        psycopg.OperationalError: not within 3 s.
    """
    return psycopg.connect(dsn, autocommit=True, connect_timeout=3, application_name=name, **KEEPALIVE)
