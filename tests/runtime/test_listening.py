"""Where a process listens"""

import os
import socket
import subprocess
import sys

from emulator.process import free_port
from runtime.services import ROOT
from tests import web

# A process with a health port that it was given, which begins to answer when its standard input ends.
PROGRAM = """
import os, sys, time
from runtime import listening
from runtime.health import HealthServer
listening.on("127.0.0.1", int(os.environ["HEALTH_PORT"])).close()  # one that ended; the next listens on the same
sys.stdin.read()
HealthServer("127.0.0.1", int(os.environ["HEALTH_PORT"]), lambda: {"alive": True, "ready": True, "reasons": []})
time.sleep(600)
"""


def test_who_asks_while_a_process_starts_waits_in_its_socket_and_who_has_gone_is_no_error() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    env = os.environ | {"LISTEN_FDS": str(listener.fileno()), "HEALTH_PORT": str(port)}
    argv, fds = [sys.executable, "-c", PROGRAM], [listener.fileno()]
    with (
        listener,
        subprocess.Popen(
            argv, env=env, cwd=ROOT, pass_fds=fds, stdin=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            for _ in range(5):
                gone = socket.create_connection(("127.0.0.1", port))
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # it goes with a reset
                gone.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                gone.close()
            process.stdin.close()
            assert web.get(f"http://127.0.0.1:{port}/healthz", timeout=60).status_code == 200
        finally:
            process.kill()
        assert process.stderr.read() == b""


def test_a_process_that_was_given_no_socket_for_its_port_makes_one() -> None:
    port = free_port()
    program = f"from runtime import listening; print(listening.on('127.0.0.1', {port}).getsockname()[1])"
    env = {name: value for name, value in os.environ.items() if name != "LISTEN_FDS"}
    assert subprocess.check_output([sys.executable, "-c", program], env=env, cwd=ROOT, text=True) == f"{port}\n"
