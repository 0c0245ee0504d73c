"""The state folder (`.eco2/`): what the emulator keeps between runs, and who holds it now."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from emulator.process import CalledWrongly, StartError, free_port
from runtime.services import ROOT, readable

# What other users of the machine must not pass through to: requests, raw photographs with their positions, answers.
_CLOSED = ("logs", "objects", "journals")
# What a folder may hold that is no state yet: what is made or brought before the lock is taken, and what a disk has of its own.
_BEFORE = {*_CLOSED, "model", "snapshots", "recordings", "lost+found"}
T = TypeVar("T")


class State:
    """One state folder. Secrets in it are 0600; the folder itself can be passed through (0711) so that PostgreSQL,
    stepped down from root, reaches its own cluster inside."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def create(self) -> None:
        """Make the folder, or say in one line why it cannot be used."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o711)
            for name in _CLOSED:
                (self.path / name).mkdir(exist_ok=True)
                (self.path / name).chmod(0o700)
            self.write("probe", b"")
            (self.path / "probe").unlink()
        except OSError as error:
            raise StartError(f"the state folder {self.path} cannot be written: {error.strerror}") from None

    def begun(self) -> bool:
        """Whether it is a state folder, and not one that merely has its name."""
        return any((self.path / name).exists() for name in ("lock", "secrets.json"))

    def ours(self) -> State:
        """This folder, which holds a state or nothing. CalledWrongly where others keep files: they would be among ours."""
        try:
            names = {path.name for path in self.path.iterdir()}
        except OSError:  # there is none, or `create` says what is wrong with it
            names = set()
        if names - _BEFORE and not self.begun():
            raise CalledWrongly(f"{self.path} holds other files: give the state a folder of its own, empty or new")
        return self

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process. A kill -9 lets go by itself, the kernel drops the lock."""
        file = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
                raise StartError(
                    f"{self.path} is in use by a running emulator (pid {holder}); `eco2 down` stops it"
                ) from None
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(file)

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Be alone, of all threads and processes, with something of the folder; waits for who is."""
        file = os.open(self.path / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def holder(self) -> int | None:
        """The process that holds the folder, as far as it is known; None when no one does."""
        try:
            file = os.open(self.path / "lock", os.O_RDONLY)
        except OSError:
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            text = os.pread(file, 32, 0).decode(errors="replace").strip()
            return int(text) if text.isdecimal() else 0
        finally:
            os.close(file)
        return None

    def write(self, name: str, content: bytes, durable: bool = True) -> None:
        """Replace a file of the folder atomically, readable by its owner alone."""
        path = self.path / name
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(file, "wb") as out:
                out.write(content)
                out.flush()
                if durable:
                    os.fsync(out.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def read_json(self, name: str, kind: type[T]) -> T | None:
        """The decoded file, or None where it is absent or (after another program, or an editor) not of this kind."""
        try:
            return msgspec.json.decode((self.path / name).read_bytes(), type=kind)
        except (FileNotFoundError, ValueError):  # msgspec's errors are ValueErrors
            return None

    def write_json(self, name: str, value: Any, durable: bool = True) -> None:
        self.write(name, json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n", durable)

    def secret(self, name: str) -> str:
        """A password made at first sight and kept. StartError when the file of all passwords is damaged."""
        kept = self.read_json("secrets.json", dict[str, str])
        if kept is None and (self.path / "secrets.json").exists():
            # New ones would lock everybody out of what is there; `up` can make new ones that do not.
            raise StartError(f"{self.path / 'secrets.json'} is damaged: put it back, or `eco2 up` makes new passwords")
        kept = kept or {}
        if name not in kept:
            kept[name] = secrets.token_urlsafe(24)
            self.write_json("secrets.json", kept)
        return kept[name]

    def secrets_are_sound(self, needed: tuple[str, ...] = ()) -> bool:
        """Whether the file of all passwords can be read and holds those; one that is absent lacks nothing but those."""
        kept = self.read_json("secrets.json", dict[str, str])
        if kept is None:
            return not needed and not (self.path / "secrets.json").exists()
        return all(kept.get(name) for name in needed)

    def forget_secrets(self) -> None:
        """Begin the file of all passwords anew."""
        self.write_json("secrets.json", {})

    def passwords(self) -> dict[str, str]:
        """One password a database role: the superuser's, the owner's, and those of the service.toml files."""
        roles = {service.database.role for service in readable().values()}
        return {role: self.secret(role) for role in ("postgres", "migrator", *sorted(roles))}

    def port(self, name: str, wanted: int | None = None) -> int:
        """The part's port of the last run if it is still free (or `wanted`), else a free one; remembered."""
        return self.ports({name: wanted})[name]

    def ports(self, names: Mapping[str, int | None]) -> dict[str, int]:
        """A port for each name, as `port` does, all different."""
        kept = self.read_json("ports.json", dict[str, int]) or {}
        before = dict(kept)
        for name, wanted in names.items():
            others = {port for other, port in kept.items() if other != name}
            port = free_port(wanted or kept.get(name))
            while port in others:
                port = free_port()
            kept[name] = port
        if kept != before:
            self.write_json("ports.json", kept)
        return {name: kept[name] for name in names}


def default_state(environ: Mapping[str, str] = os.environ, name: str | None = None) -> Path:
    """`.eco2/` of the checkout, the folder of a named emulator beside it, or ECO2_STATE."""
    if name:
        return ROOT / ".eco2" / "named" / name
    return Path(environ["ECO2_STATE"]) if environ.get("ECO2_STATE") else ROOT / ".eco2"
