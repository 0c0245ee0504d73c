"""The store's files: what is answered is on the disk, in this order, and what is refused has left nothing"""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.servers.s3 import server
from emulator.servers.s3.disk import Disk
from emulator.servers.s3.errors import S3Error
from emulator.servers.s3.server import Checked
from emulator.servers.s3.wire import OWN_NAMES


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path, SimpleNamespace(backend=None), "here")  # type: ignore[arg-type]  # files alone are tried


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is flushed (a file with its size then), renamed and removed."""
    noted: list[str] = []
    flush, replace, unlink = os.fsync, Path.replace, Path.unlink

    def flushed(file: int) -> None:
        at = Path(f"/proc/self/fd/{file}").readlink()
        noted.append(f"flush {at.name}" + (f" of {at.stat().st_size}" if at.is_file() else ""))
        flush(file)

    def renamed(path: Path, to: Path) -> Path:
        noted.append(f"rename to {to.name}")
        return replace(path, to)

    def removed(path: Path, *, missing_ok: bool = False) -> None:
        noted.append(f"remove {path.name}")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    monkeypatch.setattr(Path, "unlink", removed)
    yield noted
    monkeypatch.undo()


def test_a_file_is_flushed_before_it_has_its_name_and_its_folder_afterwards(
    disk: Disk, tmp_path: Path, steps: list[str]
) -> None:
    place = tmp_path / "objects" / "a" / "abc"
    disk._write(place, b"x", b"yz")
    assert steps[-3:] == ["flush .new-abc of 3", "rename to abc", "flush a"]
    assert sorted(steps[:-3]) == sorted([f"flush {tmp_path.name}", "flush objects"]), "the folders that are new"
    steps.clear()
    disk._move(place, tmp_path / "objects" / "b" / "abc")
    assert steps == ["flush objects", "rename to abc", "flush b"]
    steps.clear()
    disk._remove(tmp_path / "objects" / "b" / "abc")
    assert steps == ["remove abc", "flush b"]
    steps.clear()
    disk._remove(place)
    assert steps == []


def test_what_the_disk_refuses_leaves_what_was_there_and_nothing_else(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "a" / "abc"
    disk._write(place, b"before")

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(S3Error, match="No space left"):
        disk._write(place, b"after")
    assert [(file.name, file.read_bytes()) for file in place.parent.iterdir()] == [("abc", b"before")]


class Noting:
    """A store and a disk in one that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def plain(self, *_: Any) -> server.Response:
        self.asked.append("plain")
        return server.Response("")

    def keep(self, *_: Any) -> None:
        self.asked.append("keep")

    def put(self, *_: Any) -> str:
        self.asked.append("put")
        return '"etag"'


@pytest.mark.parametrize("way", ["_answer", "_posted"])
def test_one_at_a_time_asks_and_changes_what_is_stored(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    noting: Any = Noting()
    checked = Checked(noting, noting, noting)
    monkeypatch.setattr(server, "verify", lambda *_: b"")
    monkeypatch.setattr(server, "verify_post", lambda *_: None)
    monkeypatch.setattr(server, "_form", lambda *_: ({"key": "a"}, [("a", b"x")]))
    stream = SimpleNamespace(read=lambda: b"")
    environ = {"REQUEST_METHOD": "PUT", "REQUEST_URI": "/eco2/a", "CONTENT_LENGTH": "0", "wsgi.input": stream}
    environ |= {OWN_NAMES: {}, "wsgi.url_scheme": "http", "HTTP_HOST": "here"}
    ask = (
        (lambda: checked._answer(environ)) if way == "_answer" else (lambda: checked._post("eco2", b"", environ, None))
    )  # type: ignore[arg-type]  # it was verified
    asking = threading.Thread(target=ask)
    with checked.lock:
        asking.start()
        asking.join(0.05)
        assert (asking.is_alive(), noting.asked) == (True, [])
    asking.join()
    assert noting.asked == (["plain", "keep"] if way == "_answer" else ["put"])


def test_a_form_that_is_refused_has_stored_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    noting: Any = Noting()
    monkeypatch.setattr(server, "_form", lambda *_: ({"key": "a"}, [("a", b"x")]))
    with pytest.raises(S3Error, match="Access Denied"):
        Checked(noting, noting, noting)._post("eco2", b"", {}, None)  # type: ignore[arg-type]  # without a policy nothing is looked at
    assert noting.asked == []
