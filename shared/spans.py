"""What a process does for a trace, told to the emulator's dashboard. Off, and free, unless ECO2_SPANS names an address.

A span has the fields of OpenTelemetry's: trace, id, parent, name, kind, start (seconds since the epoch), duration,
attributes. Each is one UDP datagram on loopback: no one waits for the dashboard, and a lost one is a gap in a picture.
"""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import getrandbits
from typing import Any

import msgspec

from shared import clock, trace


class _Sender:
    """Where this process's spans go, if anywhere, and whose they are."""

    address: tuple[str, int] | None = None
    wire: socket.socket | None = None
    service = ""


_sender = _Sender()
# A datagram's safe size on loopback; SQL and names are cut to fit.
_LONGEST = 8000


def configure(service: str) -> None:
    """Send spans where ECO2_SPANS says, under this service's name; without it this module does nothing."""
    _sender.service = service
    host, _, port = os.environ.get("ECO2_SPANS", "").rpartition(":")
    if host and port.isdigit():
        _sender.wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        _sender.wire.setblocking(False)
        _sender.address = (host, int(port))


def on() -> bool:
    """Whether anybody looks."""
    return _sender.address is not None


def send(
    name: str,
    kind: str,
    *,
    traceparent: str,
    parent: str = "",
    started: float,
    seconds: float,
    **attributes: Any,
) -> None:
    """Tell of one span; `traceparent` carries its trace and its own id, `parent` is the parent's traceparent or id."""
    if _sender.wire is None or _sender.address is None or len(traceparent) < 55:
        return
    span = {
        "trace": traceparent[3:35],
        "id": traceparent[36:52],
        "parent": parent[36:52] if len(parent) >= 55 else parent,
        "service": _sender.service,
        "name": name,
        "kind": kind,
        "start": started,
        "ms": round(seconds * 1000, 3),
        "attributes": {key: value for key, value in attributes.items() if value is not None},
    }
    try:
        _sender.wire.sendto(msgspec.json.encode(span)[:_LONGEST], _sender.address)
    except OSError:
        return  # no one looks any more, or the buffer is full


@contextmanager
def span(name: str, kind: str, **attributes: Any) -> Iterator[None]:
    """The block as a span below what the context does now."""
    within = trace.current()
    if _sender.address is None or not within:
        yield
        return
    started, at = time.perf_counter(), clock.time()
    error = None
    try:
        yield
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        own = f"{within[:36]}{getrandbits(64):016x}{within[52:]}"
        seconds = time.perf_counter() - started
        send(name, kind, traceparent=own, parent=within, started=at, seconds=seconds, error=error, **attributes)


def event(name: str, kind: str, traceparent: str = "", **attributes: Any) -> None:
    """Something that happened at a moment, below what the context does now or below the trace given."""
    within = traceparent or trace.current()
    if _sender.address is None or len(within) < 55:
        return
    own = f"{within[:36]}{getrandbits(64):016x}{within[52:]}"
    send(name, kind, traceparent=own, parent=within, started=clock.time(), seconds=0.0, **attributes)
