"""A developer's own servers in place of the embedded ones."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from emulator import existing
from emulator.existing import Existing
from emulator.process import StartError, free_port
from emulator.servers.redis import RedisServer
from tests.clusters import Clusters
from tests.emulator.conftest import Emulator


@pytest.mark.slow
def test_existing_servers_are_used_and_left_alone(new_emulator: Emulator, clusters: Clusters, tmp_path: Path) -> None:
    postgres, broker = clusters.fresh(tmp_path / "theirs"), RedisServer(tmp_path / "theirs", "broker")
    try:
        postgres.start()
        broker.start()
        env = {
            "DATABASE_URL": postgres.superuser_dsn,
            "BROKER_REDIS_URL": broker.url,
            "PYTHONPATH": str(new_emulator.root),
        }
        new_emulator.eco2("up", "--detach", "--port", str(new_emulator.port), env=os.environ | env)
        parts = {part["name"]: part for part in new_emulator.about["parts"]}
        assert (parts["postgres"]["state"], parts["redis-broker"]["state"]) == ("existing", "existing")
        assert parts["redis-cache"]["state"] == "ready"
        assert postgres.state.secret("postgres") not in str(parts)
        assert '"username": "anna"' in new_emulator.eco2("invoke", "auth/me", "--as", "anna").stdout
        refused = new_emulator.eco2("snapshot", "save", "x", check=False)
        assert (refused.returncode, "your own" in refused.stderr) == (1, True)
        new_emulator.down()
        assert postgres.ready()
        assert broker.process is not None
        assert broker.process.poll() is None
    finally:
        broker.stop()
        postgres.destroy()


def test_a_wrong_password_is_said_at_once_and_not_waited_for(
    new_emulator: Emulator, clusters: Clusters, tmp_path: Path
) -> None:
    postgres = clusters.fresh(tmp_path / "theirs")
    try:
        postgres.start()
        wrong = postgres.superuser_dsn.replace(postgres.state.secret("postgres"), "wrong")
        env = os.environ | {"DATABASE_URL": wrong, "PYTHONPATH": str(new_emulator.root)}
        refused = new_emulator.eco2("up", "--detach", env=env, check=False, timeout=50)
        assert (refused.returncode, "authentication failed" in refused.stderr) == (1, True)
    finally:
        postgres.destroy()


def test_a_store_of_ones_own_comes_with_its_bucket_and_keys(new_emulator: Emulator) -> None:
    env = os.environ | {"S3_ENDPOINT_URL": "http://127.0.0.1:9", "S3_BUCKET": "b", "PYTHONPATH": str(new_emulator.root)}
    refused = new_emulator.eco2("up", "--detach", env=env, check=False)
    assert refused.returncode == 1
    assert "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY too" in refused.stderr
    assert refused.stderr.count("\n") == 1


def refusal(**environ: str) -> str:
    with pytest.raises(StartError) as refused:
        Existing.of(environ).check()
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_dead_a_silent_and_a_misspelt_server_are_named_by_their_variable(silent: int) -> None:
    dead = free_port()
    store = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "S3_BUCKET": "c"}
    for port in (dead, silent):
        said = refusal(DATABASE_URL=f"postgresql://x:secret-word@127.0.0.1:{port}/x")
        assert said.startswith("DATABASE_URL: ")
        assert "secret-word" not in said
        assert refusal(BROKER_REDIS_URL=f"redis://127.0.0.1:{port}/0").startswith("BROKER_REDIS_URL: ")
        assert refusal(CACHE_REDIS_URL=f"redis://127.0.0.1:{port}/0").startswith("CACHE_REDIS_URL: ")
        assert refusal(S3_ENDPOINT_URL=f"http://127.0.0.1:{port}", **store).startswith("S3_ENDPOINT_URL: ")
    assert refusal(DATABASE_URL="nonsense").startswith("DATABASE_URL: ")
    assert refusal(BROKER_REDIS_URL="http://127.0.0.1").startswith("BROKER_REDIS_URL: ")
    assert "is not an address" in refusal(S3_ENDPOINT_URL="somewhere", **store)


def test_one_that_hangs_in_something_that_knows_no_time_limit_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on, ended = threading.Event(), list[str]()

    def hang(url: str, *, keeps: bool) -> str:
        goes_on.wait(5)
        ended.append(url)
        return ""

    monkeypatch.setattr(existing, "_redis", hang)
    monkeypatch.setattr(existing, "_PATIENCE", 0.01)
    with pytest.raises(StartError, match=r"^CACHE_REDIS_URL: it does not answer"):
        Existing({"redis-cache": "redis://name.of.no.one"}, {}).check()
    assert ended == []
    goes_on.set()


def test_a_password_of_whatever_characters_is_one_part_of_the_address() -> None:
    theirs = Existing({"postgres": "postgresql://me:p@there:5433/mine"}, {})
    dsn = theirs.dsn("worker_role", "a/b@c:d?e", "tasks")
    assert conninfo_to_dict(dsn) == {
        "user": "worker_role",
        "password": "a/b@c:d?e",
        "host": "there",
        "port": "5433",
        "dbname": "ecoeco",
        "options": "-c search_path=tasks",
    }


def test_a_redis_that_forgets_is_no_broker_and_a_wrong_password_is_said(tmp_path: Path) -> None:
    cache = RedisServer(tmp_path, "cache").start()
    try:
        assert "maxmemory-policy allkeys-lru" in refusal(BROKER_REDIS_URL=cache.url)
        Existing.of({"CACHE_REDIS_URL": cache.url}).check()
        assert "password" in refusal(CACHE_REDIS_URL=cache.url.replace(cache.password, "wrong"))
    finally:
        cache.stop()


def test_a_read_only_postgresql_and_one_without_rights_are_said(clusters: Clusters, tmp_path: Path) -> None:
    postgres = clusters.fresh(tmp_path / "theirs")
    try:
        postgres.start()
        dsn = postgres.superuser_dsn
        Existing.of({"DATABASE_URL": dsn}).check()
        assert "does not exist" in refusal(DATABASE_URL=dsn.removesuffix("/postgres") + "/nowhere")
        with psycopg.connect(dsn, autocommit=True) as conn:
            conn.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        plain = f"postgresql://plain:plain@127.0.0.1:{postgres.port}/postgres"
        assert "must be a superuser" in refusal(DATABASE_URL=plain)
        read_only = f"{dsn}?options=-c%20default_transaction_read_only%3Don"
        assert "is read-only" in refusal(DATABASE_URL=read_only)
    finally:
        postgres.destroy()
