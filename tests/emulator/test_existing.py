"""A developer's own servers in place of the embedded ones."""

import os
from pathlib import Path

from emulator.postgres import Postgres
from emulator.redis import RedisServer
from tests.emulator.conftest import Emulator


def test_existing_servers_are_used_and_left_alone(own_emulator: Emulator, tmp_path: Path) -> None:
    postgres, broker = Postgres(tmp_path / "theirs", durable=False), RedisServer(tmp_path / "theirs", "broker")
    try:
        postgres.start()
        broker.start()
        env = {
            "DATABASE_URL": postgres.superuser_dsn,
            "BROKER_REDIS_URL": broker.url,
            "PYTHONPATH": str(own_emulator.root),
        }
        own_emulator.eco2("up", "--detach", "--port", str(own_emulator.port), env=os.environ | env)
        parts = {part["name"]: part for part in own_emulator.about["parts"]}
        assert (parts["postgres"]["state"], parts["redis-broker"]["state"]) == ("existing", "existing")
        assert parts["redis-cache"]["state"] == "ready"
        assert postgres.state.secret("postgres") not in str(parts)
        assert '"username": "anna"' in own_emulator.eco2("invoke", "auth/me", "--as", "anna").stdout
        refused = own_emulator.eco2("snapshot", "save", "x", check=False)
        assert (refused.returncode, "your own" in refused.stderr) == (1, True)
        own_emulator.down()
        assert postgres.ready()
        assert broker.process is not None
        assert broker.process.poll() is None
    finally:
        broker.stop()
        postgres.destroy()
