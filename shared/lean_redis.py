"""redis-py without what it brings along; whoever imports it imports this first."""

from shared.unneeded import without

# Clusters, sentinels and notifications of keys, for which no server of ours is set up: 2 MB of each process.
with without(
    *(f"redis.{name}" for name in ("cluster", "sentinel", "keyspace_notifications")),
    *(f"redis.asyncio.{name}" for name in ("cluster", "sentinel", "keyspace_notifications")),
):
    import redis
    import redis.asyncio

__all__ = ["redis"]
