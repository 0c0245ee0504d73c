"""A throw-away PostgreSQL and broker for benchmarks, with the environment that a service needs."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emulator.servers.postgres import Postgres
from emulator.servers.redis import RedisServer
from runtime import migrate
from runtime.services import load_services
from tests.support import Keys, make_keys


@contextmanager
def system() -> Iterator[tuple[dict[str, str], Postgres, Keys]]:
    """Environment, cluster and signing keys; all gone after the block."""
    with tempfile.TemporaryDirectory(prefix="eco2-bench-") as folder:
        state = Path(folder)
        postgres = Postgres(state, durable=False).start()
        broker = RedisServer(state, "broker").start()
        cache = RedisServer(state, "cache").start()
        try:
            migrate.prepare(postgres.superuser_dsn, postgres.state.passwords())
            migrate.apply(postgres.dsn("migrator"))
            keys = make_keys(state / "keys")
            services = load_services().values()
            environment = {
                s.database.env: postgres.dsn(s.database.role, search_path=s.database.schema) for s in services
            } | {
                "BROKER_REDIS_URL": broker.url,
                "CACHE_REDIS_URL": cache.url,
                "S3_ENDPOINT_URL": "http://127.0.0.1:9",
                "S3_BUCKET": "bench",
                "AWS_ACCESS_KEY_ID": "bench",
                "AWS_SECRET_ACCESS_KEY": "bench",
                "CDN_BASE_URL": "http://127.0.0.1:9",
                "AUTH_JWKS_FILE": str(keys.public),
                "AUTH_SIGNING_KEY_FILE": str(keys.private),
                "SERVICE_URLS": ",".join(f"{s.name}=http://127.0.0.1:9" for s in services if s.prefix),
            }
            yield environment, postgres, keys
        finally:
            cache.stop()
            broker.stop()
            postgres.destroy()
