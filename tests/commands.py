"""Runs `eco2` in any checkout by a fork of one process that has imported the libraries: most of a command was importing them.

That checkout's own modules are imported by the fork, as a process of its own would.
"""

import atexit
import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime.closure import OWN
from runtime.services import ROOT


def run(
    root: Path, words: Sequence[str], environ: Mapping[str, str], cwd: Path | None = None, timeout: int = 0
) -> subprocess.CompletedProcess[str]:
    """A command of the checkout at `root`, with this environment and no other.

    Args:
        root: the checkout.
        words: of the command line.
        environ: all of its environment.
        cwd: where it is run, `root` unless said.
        timeout: seconds after which it is ended by SIGALRM; 0 waits for ever.
    """
    asked = json.dumps(
        {"root": str(root), "words": words, "environ": {**environ}, "cwd": str(cwd or root), "timeout": timeout}
    ).encode()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                socket.send_fds(_template(), [asked], [theirs.fileno(), out.fileno(), error.fileno()])
            code = int(ours.recv(16))
        said = [file.read().decode() for file in (out, error) if not file.seek(0)]
    return subprocess.CompletedProcess(words, code, *said)


@functools.cache
def _template() -> socket.socket:
    """Where the process that forks is asked; it ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    program = [sys.executable, "-m", "tests.commands"]
    with theirs:
        process = subprocess.Popen(program, cwd=ROOT, stdin=theirs, env={"PATH": os.defpath})

    def end() -> None:
        ours.close()
        process.wait(60)

    atexit.register(end)
    return ours


def main() -> None:
    """Be that process: each message is a command, with a socket for its exit code, and its output and error."""
    import boto3  # noqa: F401 - what looks at an object store imports it when it does
    import psycopg  # noqa: F401 - what asks the database imports it likewise

    from runtime.cli import COMMANDS

    for module, _ in COMMANDS.values():
        if not module.startswith("tests."):
            importlib.import_module(module)
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as asked:
        while True:
            text, handles, _, _ = socket.recv_fds(asked, 1 << 20, 3)
            if not text:
                return
            if not os.fork():
                asked.close()
                _watch(json.loads(text), *handles)
            for handle in handles:
                os.close(handle)
            _reap()


def _reap() -> None:
    while True:
        try:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return


def _watch(asked: dict[str, Any], answer: int, out: int, error: int) -> None:
    process = os.fork()
    if not process:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(error, 2)
        os.closerange(3, 64)
        signal.alarm(asked["timeout"])
        os.chdir(asked["cwd"])
        _command(asked["root"], asked["words"], asked["environ"])
    os.write(answer, str(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])).encode())
    os._exit(0)


def _command(root: str, words: list[str], environ: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environ)
    sys.path[0] = root
    from runtime import cli

    code = cli.main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # what is raised ends the process as any other, with its stack


if __name__ == "__main__":
    main()
