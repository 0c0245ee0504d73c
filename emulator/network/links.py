"""What the proxy is told: the links between parts, and the faults that hold for them."""

from typing import Literal

from msgspec import Struct

Kind = Literal["cut", "hang", "latency", "throttle", "reset", "swallow"]


class Place(Struct, frozen=True):
    """Where one replica of a target listens."""

    name: str
    port: int
    host: str = "127.0.0.1"


class Link(Struct, frozen=True):
    """Connections of `source` to `target` arrive at `port` and go on to one of the places, in turn."""

    source: str
    target: str
    port: int
    to: tuple[Place, ...]


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

    def hits(self, link: Link, place: Place) -> bool:
        """Whether a connection on the link that goes to this place suffers from it."""
        names = {
            *_names(place.name),
            link.target,
            link.target.partition("-")[0],
        }  # "redis" names redis-broker and redis-cache
        return self.target in ("*", *names) and (self.source is None or self.source in _names(link.source))


def _names(part: str) -> set[str]:
    """What a part is called: a replica by its number, and as one of its family."""
    family, _, number = part.partition("/")
    return {family, f"{family}/{number or 1}"}


class Order(Struct):
    """One line of the proxy's standard input: all that should hold now."""

    links: list[Link]
    faults: list[Fault]
