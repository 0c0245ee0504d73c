"""The notes of what each thread is at: of its own each, in a file that is whole on the disk and outlives the process"""

import errno
import os
from pathlib import Path

import pytest

from runtime.journal.slots import Slots
from shared.ids import new_id


def test_each_thread_s_note_is_its_own_and_outlives_the_process(tmp_path: Path) -> None:
    runs = [str(new_id()) for _ in range(3)]
    slots = Slots(tmp_path / "running")
    for slot, run in ((0, runs[0]), (1, runs[1]), (255, runs[2])):
        slots.set(slot, run)
    slots.close()
    again = Slots(tmp_path / "running")
    assert again.take() == runs
    again.set(1, "")
    assert again.take() == [runs[0], runs[2]]
    again.clear()
    assert again.take() == []
    again.close()
    assert Slots(tmp_path / "running").take() == []


def test_the_file_has_no_holes_that_a_full_disk_could_not_fill(tmp_path: Path) -> None:
    path = tmp_path / "running"
    Slots(path).close()
    found = path.stat()
    assert found.st_size == 40 * 256
    assert found.st_blocks * 512 >= found.st_size
    assert found.st_mode & 0o077 == 0
    path.write_bytes(b"")  # of a start that a full disk ended
    Slots(path).close()
    assert path.stat().st_size == found.st_size


def test_what_a_damaged_file_says_is_no_hindrance(tmp_path: Path) -> None:
    run = str(new_id())
    slots = Slots(tmp_path / "running")
    slots.set(0, run)
    slots.close()
    with (tmp_path / "running").open("r+b") as file:
        file.seek(40)
        file.write(b"\xff" * 36)
    again = Slots(tmp_path / "running")
    assert again.take() == [run, "\N{REPLACEMENT CHARACTER}" * 36]
    again.close()


def test_a_disk_without_room_for_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            Slots(tmp_path / "running")
    held = [str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink()]
    assert str(tmp_path / "running") not in held, "a start that tries again and again would hold more and more"
