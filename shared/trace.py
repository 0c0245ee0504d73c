"""W3C trace context (Level 1) of what this process does now: one value, carried by requests, outbox rows and messages."""

import os
import re
from contextvars import ContextVar, Token

_FORMAT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")

_current: ContextVar[str] = ContextVar("traceparent", default="")


def current() -> str:
    """The `traceparent` of the request or task now running; empty outside of both."""
    return _current.get()


def enter(incoming: str | None, random: str = "") -> str:
    """Go on with an incoming `traceparent` under a span of our own, or begin a trace; return the new `traceparent`.

    `random` is 48 hexadecimal digits that the caller has drawn already.
    """
    match = _FORMAT.fullmatch(incoming) if incoming else None
    random = random or os.urandom(24).hex()
    trace_id, flags = (match[1], match[3]) if match else (random[:32], "01")
    value = f"00-{trace_id}-{random[32:]}-{flags}"
    _current.set(value)
    return value


def set_current(value: str) -> Token[str]:
    """Go on under another span of the same trace; `reset_current` takes it back."""
    return _current.set(value)


def reset_current(outer: Token[str]) -> None:
    """Go back to the span that was current before `set_current`; where the block ends in another context, that has its own."""
    try:
        _current.reset(outer)
    except ValueError:  # a generator that is closed elsewhere, as by the collector of garbage
        return


# What a client may call its request: X-Request-Id comes back in answers and is in logs.
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_request_id: ContextVar[str] = ContextVar("request_id", default="")


def request_id() -> str:
    """The id of the request now being answered; empty outside of one."""
    return _request_id.get()


def set_request_id(value: str) -> None:
    """Name the request that this context answers."""
    _request_id.set(value)
