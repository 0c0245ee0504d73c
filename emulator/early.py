"""The first template, forked before the emulator itself begins: what both have imported is in memory once (10 MB).

A fork of an emulator that runs would have its loop, its connections and its lock. This one is made before there are any, and
waits to be told where it is to live. Templates that are made later, to import changed libraries, are programs of their own.
"""

import gc
import json
import os
import signal
import socket
import sys
import time
from typing import Any, NoReturn

from emulator.process import Command, die_with
from runtime import memory
from shared import clock


class Early:
    """A process that waits to become the template, with what is used of subprocess.Popen."""

    def __init__(self) -> None:
        """Fork. To be called before anything that a fork should not have."""
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.returncode: int | None = None
        parent = os.getpid()
        # A collection writes into each object that it looks at: what is shared must be none of its.
        gc.collect()
        gc.freeze()
        self.pid = os.fork()
        if self.pid == 0:
            _wait(theirs, parent)
        theirs.close()

    def begin(self, command: Command) -> None:
        """Become the template, with the command's environment, folder and log. OSError when it has gone."""
        command.log.parent.mkdir(parents=True, exist_ok=True)
        order = {"env": dict(command.env), "log": str(command.log), "cwd": str(command.cwd)}
        self.socket.send(json.dumps(order).encode())

    def poll(self) -> int | None:
        return self._reap(os.WNOHANG)

    def wait(self) -> int | None:
        return self._reap(0)

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _reap(self, options: int) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


def _wait(control: socket.socket, parent: int) -> NoReturn:
    """Wait for the order, then be what `python -m emulator.template` is."""
    code = 1
    try:
        os.setsid()
        die_with(parent, signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.closerange(3, control.fileno())
        os.closerange(control.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        if message := control.recv(1 << 17):
            _settle(json.loads(message))
            from emulator.template import main

            main(control)
        code = 0
    except BaseException:  # noqa: BLE001 - the process's outermost place
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _settle(order: dict[str, Any]) -> None:
    """Take over what a program gets at its start."""
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for number, descriptor in enumerate((null, log, log)):
        os.dup2(descriptor, number)
    os.close(null)
    os.close(log)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    time.tzset()
    clock.use_file(os.environ.get("ECO2_CLOCK_FILE"))
    memory.arenas(int(os.environ.get("MALLOC_ARENA_MAX", 0)))
    sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)  # type: ignore[union-attr] # a file since the start
    sys.stderr.reconfigure(encoding="utf-8")  # type: ignore[union-attr] # this, too, is a file
