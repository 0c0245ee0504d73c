"""A snapshot or a recording in one file, for a colleague."""

import gzip
import json
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from emulator.process import StartError
from emulator.state import manifest, snapshots, version
from emulator.state.folder import State

_GZIP = b"\x1f\x8b"


# What a file holds: its one folder's name.
SNAPSHOT, RECORDING = "snapshot", "recording"


def export(state: State, name: str, file: Path) -> None:
    """Write a snapshot to one file. StartError when it is damaged, or the file can't be written."""
    folder = snapshots.folder_of(state, name)
    snapshots.check(folder, f"the snapshot {name}")
    pack(folder, SNAPSHOT, file)


def pack(folder: Path, kind: str, file: Path) -> None:
    """Write a folder to one file. StartError when it can't be written."""
    partial = file.with_name(f".{file.name}.part")
    try:
        partial.unlink(missing_ok=True)
        # No one else's from its first byte on: a snapshot holds everybody's data and the signing keys.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w:gz", compresslevel=3) as archive:
            archive.add(folder, arcname=kind)
        partial.replace(file)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StartError(f"{file} was not written: {snapshots.reason(error)}") from None


def kind_of(file: Path) -> str:
    """What such a file holds. StartError for another one."""
    _look(file)
    try:
        with tarfile.open(file) as archive:
            first = archive.next()
    except (OSError, EOFError, zlib.error, tarfile.TarError):
        first = None
    if first is None:
        raise StartError(f"{file} is damaged or cut short; nothing was taken in")
    return RECORDING if first.name.partition("/")[0] == RECORDING else SNAPSHOT


def unpack(file: Path, into: Path) -> None:
    """Read such a file to its end. StartError when it is damaged."""
    _look(file)
    try:
        with gzip.open(file) as stream:
            # An archive ends before its file does: only the last byte's check sum tells whether all before it was right.
            with tarfile.open(fileobj=stream) as archive:
                for member in archive:
                    _extract(archive, member, into)
            while stream.read(1 << 20):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, ValueError):
        raise StartError(f"{file} is damaged or cut short; nothing was taken in") from None
    except OSError as error:
        raise StartError(f"{file} was not taken in: {snapshots.reason(error)}") from None


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    """Write one folder or file, for its owner alone. TarError for what leads elsewhere.

    tarfile's own filters are not in the Python 3.11.2 of Debian 12.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isdir() or member.isreg()):
        raise tarfile.ExtractError(f"{member.name} is no file of a snapshot or a recording")
    path = into / name
    if member.isdir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with cast(IO[bytes], archive.extractfile(member)) as content, path.open("xb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(member.mode & 0o700)


def take_in(state: State, file: Path, name: str) -> dict[str, Any]:
    """Read a colleague's file to its end as a snapshot of that name. StartError, and nothing is taken in, when it is damaged."""
    what = str(file)
    fresh = snapshots.begin(state, name)
    try:
        unpack(file, fresh)
        inner = fresh / SNAPSHOT
        about = json.loads((inner / "about.json").read_text())
        checked = snapshots.check(inner, what)
        (inner / "about.json").write_text(json.dumps(about | {"name": name}))
        if about.get("format", 1) == 1:
            _list(inner, about | {"format": version.FORMAT, "name": name})
        snapshots.put(state, inner, name)
        return checked | {"name": name}
    except (ValueError, TypeError):
        raise StartError(f"{what} is damaged or cut short; nothing was taken in") from None
    except OSError as error:
        raise StartError(f"{what} was not taken in: {snapshots.reason(error)}") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _list(folder: Path, about: dict[str, Any]) -> None:
    """From here on an older snapshot is checked like any other."""
    manifest.write(folder, about)
    (folder / "about.json").write_text(json.dumps(about))


def _look(file: Path) -> None:
    """StartError for a file that can't be an export, with what it is instead."""
    try:
        with file.open("rb") as opened:
            head = opened.read(512)
    except OSError as error:
        raise StartError(f"{file}: {(error.strerror or 'unreadable').lower()}") from None
    if not head:
        raise StartError(f"{file} is empty; `eco2 export` writes such a file anew")
    if not head.startswith(_GZIP):
        html = head.lstrip().lower().startswith((b"<!doctype", b"<html"))
        raise StartError(f"{file} is {'a web page' if html else 'not an export'}, not what `eco2 export` wrote")
