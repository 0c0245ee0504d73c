"""Faults of many replicas: three of each worker and two of each API, of which any may be killed under upload."""

from typing import Any

from emulator.part import replica_name
from tests.emulator.conftest import Emulator
from tests.faults.rows_emulator import all_ended_once, goes_on, kill, no_orphan, processes, ready, running, uploading
from tests.faults.system import System, must
from tests.faults.table import row

MANY = 32
WORKERS, APIS = 3, 2
QUICK = ("api-waste/2", "worker-ai/2", "worker-storage", "syncer-storage/3")
# What has a replica that goes on: the system stays ready for people while one of them is killed.
SERVICES = ("api-auth", "api-chat-llm", "api-location", "api-recycle-info", "api-userinfo", "api-waste")


def scaled(emulator: Emulator) -> list[str]:
    """Three of each worker and two of each API; the names of all their parts."""
    wanted = [f"{name}={APIS}" for name in SERVICES] + [f"worker-{name}={WORKERS}" for name in ("ai", "storage")]
    emulator.eco2("scale", *wanted, timeout=300)
    names = [replica_name(name, number) for name in SERVICES for number in range(1, APIS + 1)]
    kinds = ("worker-ai", "worker-storage", "syncer-ai", "syncer-storage")
    names += [replica_name(name, number) for name in kinds for number in range(1, WORKERS + 1)]
    must(set(names) <= processes(emulator).keys(), "not every replica has a process of its own")
    return names


@row(
    MANY,
    "kill -9 of replicas, with 3 of each worker and 2 of each API, under upload",
    "ready <= 10 s, accepted ended once, nobody waits for who is dead",
)
def killed_replicas(system: System) -> dict[str, Any]:
    slowest, which = 0.0, ""
    with running(system) as emulator:
        names = scaled(emulator)
        killed = names if system.full else list(QUICK)
        with uploading(emulator) as people:
            goes_on(people)
            for name in killed:
                kill(emulator, name)
                took = ready(emulator, name)
                slowest, which = max((slowest, which), (took, name))
            if system.full:
                for name in ("worker-ai", "worker-storage"):  # all but one at once
                    for number in range(2, WORKERS + 1):
                        kill(emulator, replica_name(name, number))
                ready(emulator, "all workers but the first")
            goes_on(people)
        accepted = all_ended_once(emulator, people)
        no_orphan(emulator)
    return {"parts": len(names), "killed": len(killed), "accepted": accepted, "slowest": f"{which} {slowest:.1f} s"}
