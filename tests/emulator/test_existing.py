"""A developer's own servers in place of the embedded ones."""

import os
from pathlib import Path

from emulator.servers.postgres import Postgres
from emulator.servers.redis import RedisServer
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


def test_a_wrong_password_is_said_at_once_and_not_waited_for(own_emulator: Emulator, tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "theirs", durable=False)
    try:
        postgres.start()
        wrong = postgres.superuser_dsn.replace(postgres.state.secret("postgres"), "wrong")
        env = os.environ | {"DATABASE_URL": wrong, "PYTHONPATH": str(own_emulator.root)}
        refused = own_emulator.eco2("up", "--detach", env=env, check=False, timeout=50)
        assert (refused.returncode, "authentication failed" in refused.stderr) == (1, True)
    finally:
        postgres.destroy()


def test_a_store_of_ones_own_comes_with_its_bucket_and_keys(own_emulator: Emulator) -> None:
    env = os.environ | {"S3_ENDPOINT_URL": "http://127.0.0.1:9", "S3_BUCKET": "b", "PYTHONPATH": str(own_emulator.root)}
    refused = own_emulator.eco2("up", "--detach", env=env, check=False)
    assert refused.returncode == 1
    assert "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY too" in refused.stderr
    assert refused.stderr.count("\n") == 1
