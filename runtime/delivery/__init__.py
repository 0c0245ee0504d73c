"""Tasks on their way: from the outbox over the broker to a queue function, and back."""

from shared import lean_redis  # noqa: F401 - before redis and Dramatiq
