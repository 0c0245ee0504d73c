"""Snapshots: PostgreSQL, the broker, the objects, the journals, keys and clock, as they were at one instant.

While a snapshot is taken every process of the system stands still (SIGSTOP), so the copy is what a power cut at that
instant would have left on disk, and each store's own crash recovery makes it whole at its next start. A snapshot is made
in a folder beside and renamed when it is complete; a restore is prepared beside the live state and swapped in by renames
that a later start finishes if this one is killed in the middle.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emulator.process import StartError, alive
from emulator.servers.postgres import NOBODY, Postgres
from emulator.state.folder import State
from shared import clock

# What a snapshot holds of the state folder, besides PostgreSQL's cluster.
FOLDERS = ("objects", "journals", "keys", "redis-broker/appendonlydir")
# The one file is the broker's in a state of Redis 6; a newer server takes it over.
FILES = ("redis-broker/appendonly.aof", "samples.json", "people.json")
_PLAN = "restore.json"


def check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise StartError(f"{name!r} is no name for a snapshot: letters, digits, . _ and -")
    return name


def folder_of(state: State, name: str) -> Path:
    """A snapshot that exists. StartError with the names there are."""
    folder = state.path / "snapshots" / check_name(name)
    if not (folder / "about.json").exists():
        names = ", ".join(about["name"] for about in every(state)) or "none yet"
        raise StartError(f"there is no snapshot {name}; there are {names}")
    return folder


def every(state: State) -> list[dict[str, Any]]:
    """All snapshots, newest first."""
    found = [json.loads(file.read_text()) for file in (state.path / "snapshots").glob("[!.]*/about.json")]
    return sorted(found, key=lambda about: float(about["at"]), reverse=True)


# Standing still


def family(pid: int) -> Iterator[int]:
    """A process and all its descendants, parents first."""
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for thread in threads:
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def freeze(pids: list[int]) -> list[int]:
    """Stop processes and their children; return all that stand still now. Parents first: the stopped have no more children."""
    stopped = []
    for pid in pids:
        for member in family(pid):
            try:
                os.kill(member, signal.SIGSTOP)
            except ProcessLookupError:
                continue
            stopped.append(member)
    deadline = time.monotonic() + 2
    while any(_state(pid) not in "TtZX" for pid in stopped) and time.monotonic() < deadline:
        time.sleep(0.001)
    return stopped


def thaw(pids: list[int]) -> None:
    for pid in reversed(pids):
        if alive(pid):
            os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


# Saving


def begin(state: State, name: str) -> Path:
    """An empty folder for a new snapshot; what a failed one left is removed."""
    fresh = state.path / "snapshots" / f".new-{check_name(name)}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.parent.mkdir(mode=0o700, exist_ok=True)
    fresh.mkdir()
    return fresh


def copy(state: State, fresh: Path) -> None:
    """Copy the standing state. StartError when the disk is full; the live state is only read."""
    try:
        _copy(Postgres(state.path).cluster, fresh / "cluster")
        (fresh / "cluster" / "postmaster.pid").unlink(missing_ok=True)
        for name in (*FOLDERS, *FILES):
            if (state.path / name).exists():
                (fresh / name).parent.mkdir(exist_ok=True)
                _copy(state.path / name, fresh / name)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise StartError(f"the snapshot was not saved: {_reason(error)}; older ones are as they were") from None


def finish(state: State, fresh: Path, name: str) -> dict[str, Any]:
    """Flush the copy to disk and put it in its place."""
    clock.use_file(str(state.path / "clock"))
    about = {
        "name": name,
        "at": time.time(),
        "clock": clock.offset(),
        "bytes": sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file()),
        "superuser": _mark(state),
    }
    (fresh / "about.json").write_text(json.dumps(about))
    subprocess.run(["sync", "-f", str(fresh)], check=False)  # this file system alone
    place, old = fresh.with_name(name), fresh.with_name(f".old-{name}")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    return about


def _mark(state: State) -> str:
    """Tells whether a cluster has this state's passwords, without giving them away in an exported file."""
    return hashlib.sha256(b"eco2 " + state.secret("postgres").encode()).hexdigest()


# Restoring


def stage(state: State, name: str) -> None:
    """Copy a snapshot beside the live state, and write down what is to be swapped. Nothing live changes yet."""
    source = folder_of(state, name)
    about = json.loads((source / "about.json").read_text())
    postgres = Postgres(state.path)
    staged = state.path / "restored"
    (state.path / _PLAN).unlink(missing_ok=True)
    shutil.rmtree(staged, ignore_errors=True)
    shutil.rmtree(postgres.home / "cluster.restored", ignore_errors=True)
    try:
        staged.mkdir(mode=0o700)
        for path in source.iterdir():
            if path.name not in ("cluster", "about.json"):
                _copy(path, staged / path.name)
        _copy(source / "cluster", postgres.home / "cluster.restored")
        if postgres.uid is not None:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(postgres.home / "cluster.restored")], check=True)
        (postgres.home / "cluster.restored").chmod(0o700)
        if about["superuser"] != _mark(state):
            postgres.set_superuser_password(postgres.home / "cluster.restored")
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(staged, ignore_errors=True)
        shutil.rmtree(postgres.home / "cluster.restored", ignore_errors=True)
        raise StartError(f"{name} was not restored: {_reason(error)}; the state is as it was") from None
    state.write_json(_PLAN, {"name": name, "clock": about["clock"]})


def swap(state: State) -> bool:
    """Carry out what `stage` wrote down, with every part stopped; also finishes one that was cut short. Whether there was any."""
    plan = state.read_json(_PLAN, dict[str, Any])
    if plan is None:
        return False
    postgres = Postgres(state.path)
    staged, old = state.path / "restored", state.path / "replaced"
    old.mkdir(mode=0o700, exist_ok=True)
    cluster = postgres.home / "cluster.restored"
    if cluster.exists():
        shutil.rmtree(postgres.home / "cluster.replaced", ignore_errors=True)
        if postgres.cluster.exists():
            postgres.cluster.rename(postgres.home / "cluster.replaced")
        cluster.rename(postgres.cluster)
    for name in (*FOLDERS, *FILES):
        live, new = state.path / name, staged / name
        # Without a staged copy and with its old one set aside, it was swapped before the interruption.
        aside = old / name.replace("/", "-")
        if new.exists() or not aside.exists():
            if live.exists():
                live.rename(aside)
            if new.exists():
                live.parent.mkdir(exist_ok=True)
                new.rename(live)
    # In place: running processes have the file mapped.
    clock.write_offset(str(state.path / "clock"), float(plan["clock"]))
    (state.path / _PLAN).unlink()
    for left in (staged, old, postgres.home / "cluster.replaced"):
        shutil.rmtree(left, ignore_errors=True)
    return True


# For a colleague


def export(state: State, name: str, file: Path) -> None:
    """Write a snapshot to one file."""
    folder = folder_of(state, name)
    partial = file.with_name(f".{file.name}.part")
    try:
        partial.unlink(missing_ok=True)
        # Nobody else's from its first byte on: it holds everybody's data and the signing keys.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w:gz", compresslevel=3) as archive:
            archive.add(folder, arcname="snapshot")
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StartError(f"{file} was not written: {_reason(error)}") from None


def take_in(state: State, file: Path, name: str) -> dict[str, Any]:
    """Read a colleague's file as a snapshot of that name."""
    fresh = begin(state, name)
    try:
        with tarfile.open(file) as archive:
            archive.extractall(fresh, filter="data")
        inner = fresh / "snapshot"
        about: dict[str, Any] = json.loads((inner / "about.json").read_text()) | {"name": name}
        (inner / "about.json").write_text(json.dumps(about))
        shutil.rmtree(fresh.with_name(name), ignore_errors=True)
        inner.rename(fresh.with_name(name))
    except (OSError, tarfile.TarError, ValueError) as error:
        raise StartError(f"{file} is no exported snapshot: {_reason(error)}") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return about


def _copy(source: Path, target: Path) -> None:
    """By cp: it shares blocks where the file system can, and is quick with PostgreSQL's thousand small files."""
    command = ["cp", "-a", *(["--reflink=auto"] if os.uname().sysname == "Linux" else []), str(source), str(target)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return str(error.stderr or error).strip().splitlines()[-1]
    return getattr(error, "strerror", None) or str(error)
