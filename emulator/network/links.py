"""What the proxy is told: the links between parts, and the faults that hold for them."""

from typing import Literal

from msgspec import Struct

Kind = Literal["cut", "hang", "latency", "throttle", "reset", "swallow"]


class Link(Struct, frozen=True):
    """Connections of `source` to `target` arrive at `port` and go on to `host:to_port`."""

    source: str
    target: str
    port: int
    to_port: int
    host: str = "127.0.0.1"


class Fault(Struct, frozen=True, kw_only=True):
    """What is wrong with the connections to `target` (from `source`, or from everywhere).

    cut: connections are reset, new ones too · hang: nothing moves, connections stay open · latency: each piece of an
    answer comes `seconds` ± `spread` later · throttle: at most `rate` bytes a second each way and connection · reset:
    a piece of a request resets the connection, with the given `chance` · swallow: the request arrives, its answer is
    lost with the connection, with the given `chance`.
    """

    id: str
    target: str
    kind: Kind
    source: str | None = None
    seconds: float = 0.0
    spread: float = 0.0
    rate: float = 0.0
    chance: float = 1.0

    def hits(self, link: Link) -> bool:
        names = (link.target, link.target.partition("-")[0])  # "redis" names redis-broker and redis-cache
        return self.target in ("*", *names) and self.source in (None, link.source)


class Order(Struct):
    """One line of the proxy's standard input: all that should hold now."""

    links: list[Link]
    faults: list[Fault]
