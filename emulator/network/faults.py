"""The faults that hold now, each with its end."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec

from emulator.network.links import Fault, Link, Order


class Faults:
    """Faults by their ids."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[Fault, float | None]] = {}  # with their end on the monotonic clock
        self._count = 0

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def new_id(self) -> str:
        self._count += 1
        return f"f{self._count}"

    def add(self, fault: Fault, seconds: float | None) -> None:
        self._held[fault.id] = (fault, time.monotonic() + seconds if seconds else None)

    def end(self, wanted: str | None = None) -> list[str]:
        """End one fault, or all; return the ids of those that held."""
        ended = [name for name in self._held if wanted in (None, name)]
        for name in ended:
            del self._held[name]
        return ended

    def order(self, links: list[Link]) -> dict[str, Any]:
        """What the proxy is to be told: all links, and the faults that hold."""
        order: dict[str, Any] = msgspec.to_builtins(Order(links, [fault for fault, _ in self._held.values()]))
        return order

    def line(self, name: str) -> str:
        """One fault for a person."""
        fault, end = self._held[name]
        amount = {
            "latency": f" {fault.seconds * 1000:g}ms±{fault.spread * 1000:g}",
            "throttle": f" {fault.rate / 1000:g}KB/s",
            "reset": f" {fault.chance * 100:g}%",
            "swallow": f" {fault.chance * 100:g}%",
        }.get(fault.kind, "")
        whence = f" from {fault.source}" if fault.source else ""
        left = f", {max(0.0, end - time.monotonic()):.0f} s left" if end else ""
        return f"{name}: {fault.target} {fault.kind}{amount}{whence}{left}"
