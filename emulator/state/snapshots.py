"""Snapshots: PostgreSQL, the broker, the objects, the journals, keys and clock, as they were at one instant.

While a snapshot is taken every process of the system stands still (freeze.py), so the copy is what a power cut at that instant
would have left on disk, and each store's own crash recovery makes it whole at its next start. A snapshot is made in a folder
beside and renamed when it is complete.
"""

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

from emulator.process import StartError
from emulator.servers.postgres import Postgres
from emulator.state import manifest, version
from emulator.state.folder import State
from shared import clock

# What a snapshot holds of the state folder, besides PostgreSQL's cluster. The broker's one file is that of a state of Redis 6,
# which a newer server takes over into the folder.
KEPT = (
    *("objects", "journals", "keys", "redis-broker/appendonlydir", "redis-broker/appendonly.aof"),
    *("samples.json", "people.json"),
)

_NEEDED = ("cluster/PG_VERSION", "cluster/global/pg_control", "keys/signing.json")

# Where an older snapshot is while a newer one takes its name.
_OLD = ".old-"


def check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise StartError(f"{name!r} can't be a snapshot's name: letters, digits, . _ and -")
    return name


def folder_of(state: State, name: str) -> Path:
    """A snapshot that exists. StartError with the names there are."""
    found = _folders(state)
    if check_name(name) not in found:
        names = ", ".join(about["name"] for about in every(state)) or "none yet"
        raise StartError(f"there is no snapshot {name}; there are {names}")
    return found[name]


def every(state: State) -> list[dict[str, Any]]:
    """All snapshots, newest first; one whose description can't be read is `damaged`, and last."""
    found = [_about(folder, name) for name, folder in _folders(state).items()]
    return sorted(found, key=lambda about: float(about["at"]), reverse=True)


def _folders(state: State) -> dict[str, Path]:
    """Each snapshot's folder by its name. Where `put` ended between its two renames, the older one is still the snapshot."""
    folders = [path for path in (state.path / "snapshots").glob("*") if path.is_dir()]
    older = {path.name.removeprefix(_OLD): path for path in folders if path.name.startswith(_OLD)}
    return older | {path.name: path for path in folders if not path.name.startswith(".")}


def _about(folder: Path, name: str) -> dict[str, Any]:
    try:
        about = json.loads((folder / "about.json").read_text())
        return {"name": name, "at": float(about["at"]), "bytes": int(about["bytes"])}
    except (OSError, ValueError, TypeError, KeyError):
        return {"name": name, "at": 0.0, "bytes": 0, "damaged": True}


def check(folder: Path, what: str) -> dict[str, Any]:
    """Read a snapshot to its end, and return what is to be believed of it. StartError when it is not what was saved."""
    try:
        about = json.loads((folder / "about.json").read_text())
        form = version.check(about.get("format"), what)
        if form == 1 and not (folder / manifest.FILE).exists():
            # One of 0.1.0 lists no files; what it must have is looked at, the rest its archive's own check sum vouches for.
            missing = [name for name in _NEEDED if not (folder / name).is_file()]
            if missing:
                raise StartError(f"{what} is damaged: {missing[0]} is missing; nothing was changed")
        else:
            about = manifest.check(folder, what)
        return {"clock": float(about["clock"]), "superuser": str(about["superuser"]), **_about(folder, folder.name)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise StartError(f"{what} is damaged: about.json can't be read; nothing was changed") from None


def begin(state: State, name: str) -> Path:
    """An empty folder for a new snapshot; what a failed one left is removed. A new state may begin with it."""
    if not state.path.exists():
        state.create()
    fresh = state.path / "snapshots" / f".new-{check_name(name)}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.parent.mkdir(mode=0o700, exist_ok=True)
    fresh.mkdir()
    return fresh


def copy(state: State, fresh: Path) -> None:
    """Copy the standing state. StartError when the disk is full; the live state is only read."""
    try:
        copy_tree(Postgres(state.path).cluster, fresh / "cluster")
        (fresh / "cluster" / "postmaster.pid").unlink(missing_ok=True)
        for segment in (fresh / "cluster" / "pg_wal").glob("[0-9A-F]" * 24):
            if _spare(segment):
                segment.unlink()
        for name in KEPT:
            if (state.path / name).exists():
                (fresh / name).parent.mkdir(exist_ok=True)
                copy_tree(state.path / name, fresh / name)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise StartError(f"the snapshot was not saved: {reason(error)}; older ones are as they were") from None


def _spare(segment: Path) -> bool:
    """Whether a file of PostgreSQL's log is only kept to be written later: half of a cluster's bytes, and none of its state.

    Such a file is an old one under a new name. Each page says where in the log it is (`xlp_pageaddr`), a file's name where that
    file begins (https://www.postgresql.org/docs/18/wal-internals.html).
    """
    with segment.open("rb") as file:
        (page,) = struct.unpack("=8xQ", file.read(16))
    high, number = int(segment.name[8:16], 16), int(segment.name[16:], 16)
    return bool(page != (high << 32) + number * segment.stat().st_size)


def finish(state: State, fresh: Path, name: str) -> dict[str, Any]:
    """List the copy, flush it to disk and put it in its place."""
    clock.use_file(str(state.path / "clock"))
    about = version.mark() | {
        "name": name,
        "at": time.time(),
        "clock": clock.offset(),
        "bytes": sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file()),
        "superuser": mark(state),
    }
    try:
        manifest.write(fresh, about)
        (fresh / "about.json").write_text(json.dumps(about))
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise StartError(f"the snapshot was not saved: {reason(error)}; older ones are as they were") from None
    subprocess.run(["sync", "-f", str(fresh)], check=False)  # this file system alone
    put(state, fresh, name)
    return about


def put(state: State, fresh: Path, name: str) -> None:
    """Give a complete snapshot its place, instead of an older one of that name."""
    folder = state.path / "snapshots"
    place, old = folder / name, folder / f"{_OLD}{name}"
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def delete(state: State, name: str) -> None:
    """Remove a snapshot that exists, the older one that it took its name from first: else that would be back."""
    folder = folder_of(state, name)
    shutil.rmtree(folder.with_name(f"{_OLD}{name}"), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=folder.name != name)


def mark(state: State) -> str:
    """Tells whether a cluster has this state's passwords, without giving them away in an exported file."""
    return hashlib.sha256(b"eco2 " + state.secret("postgres").encode()).hexdigest()


def copy_tree(source: Path, target: Path) -> None:
    """By cp: it shares blocks where the file system can, and is quick with PostgreSQL's thousand small files."""
    command = ["cp", "-a", *(["--reflink=auto"] if os.uname().sysname == "Linux" else []), str(source), str(target)]
    subprocess.run(command, check=True, capture_output=True, text=True)


def reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return str(error.stderr or error).strip().splitlines()[-1]
    return getattr(error, "strerror", None) or str(error)
