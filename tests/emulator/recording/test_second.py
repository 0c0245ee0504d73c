"""What replays leave behind that were killed together with their second emulator."""

import os
import tempfile
import time
from pathlib import Path

import pytest

from emulator.recording import second
from emulator.state.folder import State


def test_a_killed_replay_s_folder_goes_and_one_that_is_held_or_has_just_begun_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, held, begun, old, foreign = [
        tmp_path / name for name in (*(f"{second.PREFIX}{n}" for n in ("left", "held", "begun", "old")), "other")
    ]
    for folder in (left, held, begun, old, foreign):
        folder.mkdir()
    for folder in (left, held):
        (folder / "lock").touch()
    long_ago = time.time() - second._FORGOTTEN - 60
    for folder in (old, foreign):
        os.utime(folder, (long_ago, long_ago))
    # Where everybody may write, a link could lead anywhere.
    link, elsewhere = tmp_path / f"{second.PREFIX}link", tmp_path / "elsewhere"
    (elsewhere / "postgres").mkdir(parents=True)
    (elsewhere / "lock").touch()
    link.symlink_to(elsewhere)
    with State(held).lock():
        second.remove_left()
    kept = (held, begun, foreign, link, elsewhere)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in kept)
    assert (elsewhere / "postgres").is_dir()


def test_a_replay_s_folder_goes_also_when_it_fails(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.create()
    with pytest.raises(KeyError), second.removed(state):
        raise KeyError
    assert not state.path.exists()
