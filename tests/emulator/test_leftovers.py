"""What a killed run of the tests has left is removed by the next one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.process import alive
from tests import leftovers
from tests.emulator.conftest import Emulator


def dead(place: Path) -> Path:
    """The folder of a run that was killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as run:
        folder = place / leftovers.named(run.pid)
        folder.mkdir()
        run.kill()
    return folder


def test_the_folder_of_a_dead_run_goes_with_its_cluster_elsewhere_and_a_living_run_s_stays(tmp_path: Path) -> None:
    left, elsewhere = dead(tmp_path), tmp_path / "elsewhere"
    (left / "state").mkdir()
    (left / "file").touch()
    elsewhere.mkdir()
    (left / "state/postgres").symlink_to(elsewhere)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as run:
        living = tmp_path / leftovers.named(run.pid)
        living.mkdir()
        strange = tmp_path / "eco2-run-of-somebody"
        strange.mkdir()
        leftovers.sweep(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([living, strange])
        run.kill()


@pytest.mark.slow
def test_an_emulator_that_a_dead_run_left_ends(own_emulator: Emulator) -> None:
    place = own_emulator.folder.parent
    left = dead(place)
    left.chmod(0o711)
    own_emulator.folder = Path(shutil.move(own_emulator.folder, left))
    pid = own_emulator.up().about["pid"]
    leftovers.sweep(place)
    assert not alive(pid)
    assert own_emulator.pids() == []
    assert not left.exists()
