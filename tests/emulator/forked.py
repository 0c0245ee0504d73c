"""What the template's children run in tests."""

import contextlib
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path


def tell() -> int:
    """Print what a program finds at its start, and the first line of its orders."""
    listeners = [int(number) for number in os.environ.get("LISTEN_FDS", "").split(",") if number]
    found = {
        "environ": dict(os.environ),
        "cwd": str(Path.cwd()),
        "argv": sys.argv,
        "name": Path("/proc/self/comm").read_text().strip(),
        "leads": os.getsid(0) == os.getpid(),
        "ports": [socket.socket(fileno=os.dup(number)).getsockname()[1] for number in listeners],
        "sockets": sum(link.startswith("socket:") for link in descriptors()),
        "terms": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "wakes": signal.set_wakeup_fd(-1),
        "collects": gc.isenabled(),
        "order": sys.stdin.readline(),
    }
    sys.stdout.write(f"{json.dumps(found)}\n")
    return 3


def descriptors() -> Iterator[str]:
    """What each of this process's is."""
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of the list itself
            yield str(path.readlink())


def end(arguments: Sequence[str]) -> object:
    """End in the way that the argument says."""
    match arguments[0]:
        case "nothing":
            return None
        case "code":
            return 4
        case "exit":
            sys.exit()
        case "exit 5":
            sys.exit(5)
        case "why":
            sys.exit("error: no such thing")
        case "raise":
            raise LookupError("not found")
        case signalled if signalled.startswith("SIG"):
            os.kill(os.getpid(), getattr(signal, signalled))
    time.sleep(600)
    return None
