"""What a snapshot consists of: every file with its size and hash, so that none is believed that is not what was saved."""

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from emulator.process import StartError

FILE = "manifest.json"
# Beside the files that the manifest lists.
_APART = {FILE, "about.json"}


class Manifest(Struct):
    """`about` is what is to be believed of the snapshot; `files` are sizes and SHA-256, by path; `hash` is of both."""

    about: dict[str, Any]
    folders: list[str]
    files: dict[str, tuple[int, str]]
    hash: str


def write(folder: Path, about: dict[str, Any]) -> None:
    """List a finished snapshot."""
    folders, files = [], {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            folders.append(name)
        elif path.is_file() and name not in _APART:
            files[name] = (path.stat().st_size, _hash(path))
    manifest = Manifest(about, folders, files, _hash_of(about, folders, files))
    (folder / FILE).write_bytes(msgspec.json.encode(manifest))


def check(folder: Path, what: str) -> dict[str, Any]:
    """Read every file of a snapshot; its `about`.

    Raises:
        StartError: the manifest or a file is missing, or is not what it was; one line that names the first.
    """
    try:
        manifest = msgspec.json.decode((folder / FILE).read_bytes(), type=Manifest)
    except (OSError, ValueError):
        raise StartError(f"{what} is damaged: its manifest can't be read; nothing was changed") from None
    if manifest.hash != _hash_of(manifest.about, manifest.folders, manifest.files):
        raise StartError(f"{what} is damaged: its manifest is not what was written; nothing was changed")
    wrong = [name for name in manifest.folders if not (folder / name).is_dir()]
    wrong += [name for name, (size, hashed) in manifest.files.items() if not _is(folder / name, size, hashed)]
    known = manifest.files.keys() | _APART
    wrong += [
        name
        for path in folder.rglob("*")
        if path.is_file() and (name := path.relative_to(folder).as_posix()) not in known
    ]
    if wrong:
        raise StartError(
            f"{what} is damaged: {len(wrong)} of its {len(manifest.files)} files are missing or not what was saved, "
            f"first {wrong[0]}; nothing was changed"
        )
    return manifest.about


def _is(path: Path, size: int, hashed: str) -> bool:
    try:
        return path.stat().st_size == size and _hash(path) == hashed
    except OSError:
        return False


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_of(about: dict[str, Any], folders: list[str], files: dict[str, tuple[int, str]]) -> str:
    text = json.dumps([about, folders, {name: list(each) for name, each in files.items()}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
