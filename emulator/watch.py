"""Which of the checkout's own files are saved, and when."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from emulator.process import libc

WATCHED = ("functions", "shared", "runtime")
_ENDINGS = (".py", ".toml", ".json", ".csv", ".txt", ".sql")
_EVERY = 0.2
# IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE
_CHANGES = 0x2 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200


class Watch:
    """Says when something in the watched folders is touched: by inotify, so that an idle emulator does not look all the time;
    five times a second where there is none."""

    def __init__(self) -> None:
        self.file = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC) if libc is not None else -1
        self.event = asyncio.Event()
        if self.file >= 0:
            asyncio.get_running_loop().add_reader(self.file, self._heard)

    def follow(self, root: Path) -> None:
        """Watch every folder that is there now; one that is watched already stays so. What is read afterwards is not missed."""
        if self.file >= 0:
            for _ in _files(root, self._add):
                pass

    def _add(self, folder: Path) -> None:
        libc.inotify_add_watch(self.file, os.fsencode(folder), _CHANGES)  # type: ignore[union-attr]  # a file is open only where libc is there

    def _heard(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.file, 65536)
        self.event.set()

    async def touched(self) -> None:
        if self.file < 0:
            await asyncio.sleep(_EVERY)
            return
        await self.event.wait()
        self.event.clear()

    def close(self) -> None:
        if self.file >= 0:
            asyncio.get_running_loop().remove_reader(self.file)
            os.close(self.file)


def scan(root: Path) -> dict[str, tuple[int, int]]:
    """Every watched file with its time and size, by path below the root."""
    found: dict[str, tuple[int, int]] = {}
    for entry in _files(root, lambda folder: None):
        if entry.name.endswith(_ENDINGS):
            with contextlib.suppress(OSError):  # gone meanwhile
                status = entry.stat()
                found[os.path.relpath(entry.path, root)] = (status.st_mtime_ns, status.st_size)
    return found


def _files(root: Path, enter: Callable[[Path], object]) -> Iterator[os.DirEntry[str]]:
    """The files of the watched folders, hidden ones left out. `enter` is told of each folder before it is read: what is made in
    it after that is heard."""
    folders = [root / name for name in WATCHED]
    while folders:
        folder = folders.pop()
        enter(folder)
        entries: list[os.DirEntry[str]] = []
        with contextlib.suppress(OSError):  # gone meanwhile
            entries = [entry for entry in os.scandir(folder) if not entry.name.startswith((".", "__pycache__"))]
        for entry in entries:
            if entry.is_dir():
                folders.append(Path(entry.path))
            else:
                yield entry
