"""A part: one process of the system, and what its keeper has to know of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from emulator.probe import Probe
from emulator.process import Command

Kind = Literal["server", "proxy", "service", "worker", "syncer", "gateway", "dashboard"]

# Runs a program to its end; StartError when it fails.
Run = Callable[[Command], Awaitable[None]]


@dataclass
class Part:
    """One process of the system."""

    name: str  # the first replica has its service's own, the others `worker-ai/2` and so on
    kind: Kind
    command: Callable[[], Command]
    probe: Probe
    address: str = ""
    needs: tuple[str, ...] = ()  # steps of the set-up and parts that must be there before it starts
    grace: float = 10.0
    # Where the template may run it by a fork: `module:function`, called with the arguments.
    module: str = ""
    arguments: tuple[str, ...] = ()
    folder: str = ""  # of its service, for the reload
    orders: bool = False  # takes orders on its standard input
    debug: int | None = None  # where a debugger reaches it
    # Done before each start, such as writing the server's configuration; StartError when it can't be.
    prepare: Callable[[Run], Awaitable[None]] | None = None
    # Told the id of each new process before it is ready.
    started: Callable[[int], None] | None = None
    # After it lost the race for its port: takes another one. None where the port is not its own choice.
    another_port: Callable[[], None] | None = None

    @property
    def family(self) -> str:
        """What all replicas of it are called together."""
        return self.name.partition("/")[0]


def replica_name(name: str, number: int) -> str:
    """`worker-ai` for the first, `worker-ai/2` for the second."""
    return name if number == 1 else f"{name}/{number}"


def file_name(name: str) -> str:
    """The part's name where a slash can't be: in files' names."""
    return name.replace("/", ".")
