"""Putting a snapshot in the place of the live state: prepared beside it, swapped in by renames that a later start finishes if
this one is killed, and taken back unless the restored state has started and answered.

The plan (restore.json) says how far it is: `swapping`, `swapped` (not confirmed yet) or `undoing`. Each thing is first moved
aside, or a mark is left that there was none, and then replaced; so every step can be made again.
"""

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from msgspec import Struct

from emulator.process import StartError
from emulator.servers.postgres import NOBODY, Postgres
from emulator.state import snapshots
from emulator.state.folder import State
from shared import clock

_FILE = "restore.json"


class Plan(Struct):
    """What is to be swapped. `clock` and `before` are how far ahead the clock is to be, and was, in seconds."""

    name: str
    clock: float
    before: float = 0.0
    step: Literal["swapping", "swapped", "undoing"] = "swapping"


class _Thing(Struct):
    live: Path
    new: Path
    aside: Path

    @property
    def none(self) -> Path:
        """The mark that there was no such thing."""
        return self.aside.with_name(f"{self.aside.name}.none")


def _things(state: State, postgres: Postgres) -> Iterator[_Thing]:
    home = postgres.home
    yield _Thing(postgres.cluster, home / "cluster.restored", home / "cluster.replaced")
    for name in snapshots.KEPT:
        yield _Thing(
            state.path / name, state.path / "restored" / name, state.path / "replaced" / name.replace("/", "-")
        )


def pending(state: State) -> Plan | None:
    """A restore that is not confirmed yet. StartError when its plan is damaged: the state may be half of one and of another."""
    plan = state.read_json(_FILE, Plan)
    if plan is None and (state.path / _FILE).exists():
        raise StartError(
            f"{state.path / _FILE} is damaged, and a restore was under way: the state before it is in {state.path / 'replaced'}; "
            "`eco2 reset` begins anew"
        )
    return plan


def stage(state: State, name: str, ahead: float | None = None) -> None:
    """Check a snapshot, copy it beside the live state, and write down what is to be swapped. Nothing live changes yet.

    Args:
        ahead: seconds by which the clock is to be ahead (behind, below zero) of this machine's, if not as it was.
    """
    if pending(state) is not None:
        raise StartError("another restore is under way")
    source = snapshots.folder_of(state, name)
    postgres = Postgres(state.path)
    fresh = postgres.home / "cluster.restored"
    _clear(state, postgres)
    # It is read twice: to be checked and to be copied, at once.
    with ThreadPoolExecutor(1) as beside:
        checking = beside.submit(snapshots.check, source, f"the snapshot {name}")
        try:
            try:
                _copy(source, state, postgres, fresh)
            finally:
                about = checking.result()  # of a damaged snapshot this is what is said
            if about["superuser"] != snapshots.mark(state):
                postgres.set_superuser_password(fresh)
        except (OSError, subprocess.CalledProcessError) as error:
            _clear(state, postgres)
            raise StartError(f"{name} was not restored: {snapshots.reason(error)}; the state is as it was") from None
        except StartError:
            _clear(state, postgres)
            raise
    clock.use_file(str(state.path / "clock"))
    state.write_json(_FILE, _builtins(Plan(name, about["clock"] if ahead is None else ahead, clock.offset())))


def _copy(source: Path, state: State, postgres: Postgres, fresh: Path) -> None:
    (state.path / "restored").mkdir(mode=0o700)
    for path in source.iterdir():
        if (path.is_dir() and path.name != "cluster") or path.name in snapshots.KEPT:
            snapshots.copy_tree(path, state.path / "restored" / path.name)
    snapshots.copy_tree(source / "cluster", fresh)
    if postgres.uid is not None:
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(fresh)], check=True)
    fresh.chmod(0o700)


def swap(state: State) -> Plan | None:
    """Carry out what `stage` wrote down, with every part stopped; also finishes what was cut short. The plan, if any is open."""
    plan = pending(state)
    if plan is None:
        return None
    if plan.step == "undoing":
        undo(state)
        return None
    if plan.step == "swapping":
        (state.path / "replaced").mkdir(mode=0o700, exist_ok=True)
        for thing in _things(state, Postgres(state.path)):
            if not thing.aside.exists() and not thing.none.exists():
                if thing.live.exists():
                    thing.live.rename(thing.aside)
                else:
                    thing.none.touch()
            if thing.new.exists():
                thing.live.parent.mkdir(exist_ok=True)
                thing.new.rename(thing.live)
        # In place: running processes have the file mapped.
        clock.write_offset(str(state.path / "clock"), plan.clock)
        plan.step = "swapped"
        state.write_json(_FILE, _builtins(plan))
    return plan


def confirm(state: State) -> None:
    """The restored state has started and answered: the one before is let go."""
    (state.path / _FILE).unlink(missing_ok=True)
    _clear(state, Postgres(state.path))


def undo(state: State) -> None:
    """Bring the state before back, with every part stopped."""
    plan = pending(state)
    if plan is None:
        return
    plan.step = "undoing"
    state.write_json(_FILE, _builtins(plan))
    for thing in _things(state, Postgres(state.path)):
        if thing.aside.exists() or thing.none.exists():
            _remove(thing.live)
            if thing.aside.exists():
                thing.aside.rename(thing.live)
            thing.none.unlink(missing_ok=True)
    clock.write_offset(str(state.path / "clock"), plan.before)
    confirm(state)


def _clear(state: State, postgres: Postgres) -> None:
    for left in (state.path / "restored", state.path / "replaced"):
        shutil.rmtree(left, ignore_errors=True)
    for name in ("cluster.restored", "cluster.replaced", "cluster.replaced.none"):
        _remove(postgres.home / name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _builtins(plan: Plan) -> dict[str, object]:
    return {"name": plan.name, "clock": plan.clock, "before": plan.before, "step": plan.step}
