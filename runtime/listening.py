"""Where a process listens: on a socket that it was given, which no one else could take meanwhile, or on one of its own."""

import os
import socket
from functools import cache


@cache
def _given() -> dict[int, socket.socket]:
    """By port, what came with LISTEN_FDS: the numbers of listening sockets, with commas between them."""
    numbers = filter(None, os.environ.get("LISTEN_FDS", "").split(","))
    sockets = [socket.socket(fileno=int(number)) for number in numbers]
    return {int(one.getsockname()[1]): one for one in sockets}


def given(port: int) -> socket.socket | None:
    """The listening socket for this port that the process was given."""
    found = _given().get(port)
    return found.dup() if found is not None else None


def on(host: str, port: int) -> socket.socket:
    """Listening on this port: given, or made now. OSError when somebody else has it."""
    return given(port) or socket.create_server((host, port))
