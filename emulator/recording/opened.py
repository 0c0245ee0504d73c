"""Which recording is open: said in a file, to every process that writes into it."""

from pathlib import Path

from msgspec import Struct

from emulator.state.folder import State

OPEN = "recording.json"


class _Open(Struct):
    folder: str
    requests: bool = True


def mark_open(state: State, folder: Path, *, requests: bool) -> None:
    """Have every process write into this recording; without `requests` spans alone, of work that is still under way."""
    state.write_json(OPEN, {"folder": str(folder), "requests": requests})


def open_one(state: State, *, requests: bool = False) -> Path | None:
    """The folder of the recording that is open just now; with `requests`, if it takes any."""
    said = state.read_json(OPEN, _Open)
    if said is None or (requests and not said.requests) or not Path(said.folder).is_dir():
        return None
    return Path(said.folder)
