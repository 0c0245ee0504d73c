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
# A datagram on loopback may have 65,507 bytes. One that is cut off would be no JSON, so texts are cut before.
_LONGEST = 60_000
_TEXT = 12_000
# What belongs to no trace, and says by its attribute `about` which task or request it is about.
NO_TRACE = "0" * 32
# A statement that has not ended after so many seconds says that it is still under way.
LATE = 0.1
# Waiting that is shorter is no gap that a person could see, in seconds.
_SEEN = 0.001


def configure(service: str) -> None:
    """Send spans where ECO2_SPANS says, under this service's name; without it this module does nothing.

    Spans hold what a developer may see and no one else (statements, tracebacks), so they leave no machine: only an address
    of the loopback is taken.
    """
    _sender.service, _sender.address = service, None
    if _sender.wire is not None:
        _sender.wire.close()
        _sender.wire = None
    host, _, port = os.environ.get("ECO2_SPANS", "").rpartition(":")
    if host == "127.0.0.1" and port.isdigit():
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
        "name": name[:_TEXT],
        "kind": kind,
        "start": started,
        "ms": round(seconds * 1000, 3),
        "attributes": {key: _cut(value) for key, value in attributes.items() if value is not None},
    }
    data = msgspec.json.encode(span)
    if len(data) > _LONGEST:
        span["attributes"] = {key: value for key, value in attributes.items() if isinstance(value, int | float)}
        data = msgspec.json.encode(span)
    try:
        _sender.wire.sendto(data, _sender.address)
    except OSError:
        return  # no one looks any more, or the buffer is full


def _cut(value: Any) -> Any:
    return value[:_TEXT] + " …" if isinstance(value, str) and len(value) > _TEXT else value


def below(traceparent: str) -> str:
    """A new span's `traceparent` in the same trace."""
    return f"{traceparent[:36]}{getrandbits(64):016x}{traceparent[52:]}"


@contextmanager
def span(name: str, kind: str, **attributes: Any) -> Iterator[None]:
    """The block as a span below what the context does now; what happens in it is below that span."""
    within = trace.current()
    if _sender.address is None or not within:
        yield
        return
    started, at, own = time.perf_counter(), clock.time(), below(within)
    error: dict[str, str] = {}
    outer = trace.set_current(own)
    try:
        yield
    except BaseException as raised:
        error = failure(raised)
        raise
    finally:
        trace.reset_current(outer)
        seconds = time.perf_counter() - started
        send(name, kind, traceparent=own, parent=within, started=at, seconds=seconds, **(error | attributes))


def failure(error: BaseException) -> dict[str, str]:
    """The attributes of a span that ended with this exception: its kind, and the first line of what it says."""
    said = str(error).strip().partition("\n")[0]
    return {"error": type(error).__name__} | ({"said": said[:500]} if said else {})


def event(name: str, kind: str, traceparent: str = "", at: float | None = None, **attributes: Any) -> None:
    """Something that happened at a moment (now, or `at`), below what the context does now or below the trace given."""
    within = traceparent or trace.current()
    if _sender.address is None or len(within) < 55:
        return
    started = clock.time() if at is None else at
    send(name, kind, traceparent=below(within), parent=within, started=started, seconds=0.0, **attributes)


def waited(name: str, began: float) -> None:
    """The context has waited since `began` (`time.perf_counter`); told where it is long enough to be seen."""
    seconds = time.perf_counter() - began
    within = trace.current()
    if seconds >= _SEEN and within:
        started = clock.time() - seconds
        send(name, "wait", traceparent=below(within), parent=within, started=started, seconds=seconds)
