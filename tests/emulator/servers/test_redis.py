"""The two Redis servers: one keeps, one forgets."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from emulator.process import StartError
from emulator.servers.redis import RedisServer


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "state", "broker")
    try:
        yield server.start()
    finally:
        server.stop()


def test_a_client_without_the_password_is_refused(broker: RedisServer) -> None:
    with redis.Redis(port=broker.port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_broker_keeps_what_it_took_through_a_kill_9(broker: RedisServer) -> None:
    with redis.Redis.from_url(broker.url) as client:
        client.set("kept", "1")
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert broker.process is not None
    broker.process.kill()
    broker.process.wait()
    broker.start()
    with redis.Redis.from_url(broker.url) as client:
        assert client.get("kept") == b"1"


def test_the_cache_has_a_bound_and_keeps_nothing(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "state", "cache").start()
    try:
        with redis.Redis.from_url(server.url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
            assert int(client.config_get("maxmemory")["maxmemory"]) > 0
            client.set("forgotten", "1")
        server.stop()
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.dbsize() == 0
    finally:
        server.stop()


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = RedisServer(tmp_path / "state", port=taken.getsockname()[1])
        with pytest.raises(StartError, match=r"^redis-broker did not start: the port is in use$"):
            server.start()


def test_both_keep_their_ports_between_runs(tmp_path: Path) -> None:
    first, second = RedisServer(tmp_path, "broker"), RedisServer(tmp_path, "cache")
    try:
        ports = (first.start().port, second.start().port)
    finally:
        first.stop()
        second.stop()
    again = RedisServer(tmp_path, "broker")
    try:
        assert again.start().port == ports[0] != ports[1]
    finally:
        again.stop()
