"""A replay: a recording's state in a second emulator, its requests sent again there, and what came out compared."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from emulator import control
from emulator.process import StartError
from emulator.recording import cached, form
from emulator.recording import folder as recordings
from emulator.recording.align import Aligned
from emulator.recording.beside import Beside, beside
from emulator.recording.compare import Compared, Recorded, compare
from emulator.recording.sending import Sender, Transform
from emulator.state import snapshots
from emulator.state.folder import State

_AGAIN = "replay"


# A list in a narrow terminal shows so much of an id.
SHORTEST = 8


class Wanted(Struct):
    """What is to be replayed: a recording's folder, one request of it (`id`) or all, on which snapshot, with the code of which
    checkout."""

    folder: Path
    code: Path
    id: str = ""
    snapshot: str = ""
    ai: str = ""


class Replayed(Struct):
    """How it went. `incomplete`: spans were lost, so that no statements were compared."""

    recording: str
    compared: list[Compared]
    incomplete: bool = False

    @property
    def different(self) -> list[Compared]:
        return [one for one in self.compared if one.differences]


def find(state: State, wanted: str) -> tuple[Path, str]:
    """The recording of that name, or the newest that has one request whose id is or begins so; with its id, if it is one.

    Raises:
        StartError: there is neither.
    """
    if (recordings.home(state) / wanted).is_dir():
        return recordings.find(state, wanted), ""
    for about in recordings.every(state):
        folder = recordings.home(state) / about["name"]
        found = {exchange.id for exchange in form.read_exchanges(folder) if exchange.id.startswith(wanted)}
        if wanted in found:
            return folder, wanted
        if len(found) == 1 and len(wanted) >= SHORTEST:
            return folder, found.pop()
    names = ", ".join(about["name"] for about in recordings.every(state)) or "none yet"
    raise StartError(f"{wanted} is neither a recording nor a request of one; there are the recordings {names}")


def replay(state: State, wanted: Wanted) -> Replayed:
    """Send it again and compare.

    Raises:
        StartError: the recording is damaged, or the second system did not start.
    """
    about = recordings.check(wanted.folder)
    was = Recorded(wanted.folder)
    chosen = _chosen(was, wanted)
    if not chosen:
        raise StartError(f"{wanted.folder.name} has no requests")
    aligned = Aligned(float(about["at"]))
    with _system(state, wanted, about, chosen[0]) as second:
        folder = again(was, second, chosen, aligned)
        now = Recorded(folder)
        only = {wanted.id} if wanted.id else None
        sent = {exchange.id for exchange in chosen}
        compared = compare(was, now, Aligned(aligned.start), functions(), sent, only)
        return Replayed(wanted.folder.name, compared, was.lost or now.lost)


def _chosen(was: Recorded, wanted: Wanted) -> list[form.Exchange]:
    """What is sent: all, or what leads up to one request; on another snapshot that one alone."""
    if not wanted.id:
        return was.exchanges
    number = next(n for n, exchange in enumerate(was.exchanges) if exchange.id == wanted.id)
    return was.exchanges[number if wanted.snapshot else 0 : number + 1]


@contextmanager
def _system(state: State, wanted: Wanted, about: dict[str, Any], first: form.Exchange) -> Iterator[Beside]:
    snapshot, at = wanted.folder / form.SNAPSHOT, float(about["at"])
    if wanted.snapshot:
        snapshot = snapshots.folder_of(state, wanted.snapshot)
        taken = snapshots.check(snapshot, f"the snapshot {wanted.snapshot}")
        # Its tokens' time; but a state is not older than what is in it.
        at = max(first.at, float(taken["at"]) + float(taken["clock"]))
    ai, settings = wanted.ai or str(about.get("ai", "")), dict(about.get("settings") or {})
    with beside(state, snapshot, at, wanted.code, ai, settings) as second:
        if not wanted.snapshot:
            cached.load(wanted.folder, second.environment["CACHE_REDIS_URL"])
        yield second


def again(
    was: Recorded, second: Beside, chosen: list[form.Exchange], aligned: Aligned, transform: Transform | None = None
) -> Path:
    """Send the requests to the second system while it records; the folder of its recording."""
    control.ask(second.state, "record-on", _quiet, name=_AGAIN, snapshot=False)
    asyncio.run(Sender(was, second, aligned, transform).send(chosen))
    control.ask(second.state, "record-off", _quiet)
    return recordings.find(second.state, _AGAIN)


def functions() -> dict[str, str]:
    """The HTTP functions of this checkout by method and route, as spans name them."""
    import re

    from runtime.loader import discover
    from runtime.services import readable

    found = {}
    for service in readable().values():
        for function in discover(service):
            if function.trigger == "http":
                found[re.sub(r"{([^}:]+):[^}]+}", r"{\1}", function.where)] = f"{service.folder}/{function.name}"
    return found


def _quiet(line: str) -> None:
    pass
