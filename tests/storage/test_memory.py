"""What the largest upload of each kind takes of memory, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from functions.storage.images import _BIG_PIXELS
from runtime.services import load_services
from tests.storage.measure import CASES

# MiB. The pod has 1,024: the worker itself (90), one big picture, a small one beside it, two uploads and their copies.
WORKER, SMALL = 120, 150
POD = 1024


def measured(what: str, file: Path, case: str) -> str:
    words = [sys.executable, "-m", "tests.storage.measure", what, str(file), case]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize("case", CASES)
def test_the_largest_upload_of_each_kind_fits_beside_a_small_one(tmp_path: Path, case: str) -> None:
    measured("make", tmp_path / case, case)
    peak = int(measured("copy", tmp_path / case, case))
    assert peak <= POD - WORKER - SMALL, f"{case} takes {peak} MiB"


def test_the_pod_and_what_runs_side_by_side_are_as_this_counts() -> None:
    service = load_services()["storage"]
    assert (service.run.memory, service.run.threads) == ("1Gi", 2)
    assert _BIG_PIXELS * 16 <= SMALL << 20  # libwebp's two canvases and Pillow's own are the most that a pixel takes
