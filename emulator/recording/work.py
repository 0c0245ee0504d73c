"""What the system still has to do: tasks accepted and not yet answered, by the trace of the request that set them going."""

import psycopg
from psycopg import sql

# Tasks that are not due yet, as the second round of an erasure, are not waited for.
_SOON = 2.0
_OUTBOXES = "SELECT schemaname FROM pg_tables WHERE tablename = 'outbox' ORDER BY schemaname"
_OPEN = """
SELECT substr(traceparent, 4, 32)
  FROM {schema}.outbox
 WHERE attempts > 0 OR due_at <= to_timestamp(%(soon)s)
"""


class Work:
    """Looks at the outboxes of one system. `dsn` is that of a role that may read them all."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        schemas = [row[0] for row in self._connection.execute(_OUTBOXES)]
        each = [sql.SQL(_OPEN).format(schema=sql.Identifier(schema)) for schema in schemas]
        self._query = sql.SQL(" UNION ALL ").join(each)

    def open(self, now: float) -> set[str]:
        """The traces with tasks that are due at `now` or under way. What a schedule does has none, and comes again by itself."""
        return {row[0] for row in self._connection.execute(self._query, {"soon": now + _SOON}) if row[0]}

    def close(self) -> None:
        self._connection.close()
