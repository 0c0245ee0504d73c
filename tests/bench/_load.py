"""Server processes on loopback, a cheap client for them, and their CPU time."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(code: str, port: int, environment: Mapping[str, str] | None = None) -> Iterator[psutil.Process]:
    """Run Python code that serves on the port, until the block ends."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(port)], env=env | dict(environment or {}), stdout=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def request(method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def send(port: int, message: bytes, count: int, expect: bytes = b"HTTP/1.1 2") -> None:
    """Send a request so many times over one connection, one after the other; each answer must begin as expected."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        for _ in range(count):
            connection.sendall(message)
            while (end := buffer.find(b"\r\n\r\n")) < 0:
                buffer += _receive(connection)
            head = buffer[:end].lower()
            at = head.find(b"content-length: ")
            length = int(head[at + 16 :].split(b"\r\n", 1)[0])
            while len(buffer) < end + 4 + length:
                buffer += _receive(connection)
            if not buffer.startswith(expect):
                raise RuntimeError(f"unexpected answer: {buffer[:300]!r}")
            buffer = buffer[end + 4 + length :]


def _receive(connection: socket.socket) -> bytes:
    chunk = connection.recv(65536)
    if not chunk:
        raise RuntimeError("the server closed the connection")
    return chunk


def cpu_per_request(process: psutil.Process, port: int, message: bytes, count: int) -> float:
    """Microseconds of the server's CPU time for one request."""
    before = _nanoseconds(process.pid)
    send(port, message, count)
    return (_nanoseconds(process.pid) - before) / count / 1000


def _nanoseconds(pid: int) -> int:
    """The time on a processor of a process' threads, which psutil tells in hundredths of a second."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
