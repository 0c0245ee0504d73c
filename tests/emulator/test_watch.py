"""What is saved in a checkout is heard of, and what is no code is not looked at."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emulator.watch import Watch, scan


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("functions/waste/deep", "shared", "emulator", "functions/__pycache__", "functions/.hidden"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
async def watch(root: Path) -> AsyncIterator[Watch]:
    found = Watch()
    found.follow(root)
    yield found
    found.close()


def test_files_of_code_are_seen_with_their_time_and_size(root: Path) -> None:
    kept = ("functions/waste/a.py", "functions/waste/deep/b.sql", "shared/c.toml")
    others = ("functions/waste/.d.py", "functions/waste/e.pyc", "functions/__pycache__/f.py", "emulator/g.py")
    for name in (*kept, *others, "functions/.hidden/h.py"):
        (root / name).write_text("x")
    found = scan(root)
    assert sorted(found) == sorted(kept)
    os.utime(root / kept[0], ns=(5, 5))
    assert scan(root)[kept[0]] == (5, 1)


async def heard(watch: Watch) -> bool:
    """Whether something was touched: what the kernel has to say is there at once."""
    for _ in range(3):
        await asyncio.sleep(0)
    was = watch.event.is_set()
    watch.event.clear()
    return was


async def test_what_is_written_moved_or_removed_is_heard_also_in_a_folder_that_is_new(root: Path, watch: Watch) -> None:
    file = root / "functions/waste/deep/a.py"
    file.write_text("x")
    assert await heard(watch)
    assert not await heard(watch)
    file.read_text()
    (root / "emulator/a.py").write_text("x")
    assert not await heard(watch)
    file.rename(file.with_name("b.py"))
    assert await heard(watch)
    file.with_name("b.py").unlink()
    assert await heard(watch)
    (root / "shared/new").mkdir()
    assert await heard(watch)
    watch.follow(root)
    (root / "shared/new/c.py").write_text("x")
    async with asyncio.timeout(30):
        await watch.touched()
    assert not watch.event.is_set()
