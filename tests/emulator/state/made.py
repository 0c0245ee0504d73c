"""State folders with something in each place, and no servers."""

from pathlib import Path

from emulator.state import snapshots
from emulator.state.folder import State

NAMES = (
    *("postgres/cluster/PG_VERSION", "postgres/cluster/global/pg_control", "objects/o", "journals/j"),
    *("keys/signing.json", "redis-broker/appendonlydir/a"),
)


def make_state(tmp_path: Path) -> State:
    state = State(tmp_path / "state")
    state.create()
    rewrite(state, "old")
    (state.path / "clock").write_bytes(bytes(8))
    return state


def save(state: State, name: str) -> None:
    fresh = snapshots.begin(state, name)
    snapshots.copy(state, fresh)
    snapshots.finish(state, fresh, name)


def contents(state: State) -> set[str]:
    """What all places say; one word when they are of one state."""
    return {(state.path / name).read_text() for name in NAMES}


def rewrite(state: State, text: str) -> None:
    for name in NAMES:
        (state.path / name).parent.mkdir(parents=True, exist_ok=True)
        (state.path / name).write_text(text)
