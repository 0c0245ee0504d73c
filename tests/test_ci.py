"""`.ci/run`: what fails twice fails it, whatever it is, and what fails once is tried once more."""

import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.services import ROOT

# Each target notes that it ran, and fails so many times as the test says.
MAKEFILE = """\
install check unit test-ui:
	@echo $@ >> ran; test `grep -cx $@ ran` -gt $($@)
"""


@pytest.mark.parametrize(
    ("failures", "green", "ran"),
    [
        ({}, True, ["check", "install", "test-ui", "unit"]),
        ({"unit": 1}, True, ["check", "install", "test-ui", "unit", "unit"]),
        ({"test-ui": 1}, True, ["check", "install", "test-ui", "test-ui", "unit"]),
        ({"check": 1, "unit": 1}, True, ["check", "check", "install", "test-ui", "unit", "unit"]),
        ({"check": 2}, False, ["check", "check", "install", "test-ui", "unit"]),
        ({"unit": 2}, False, ["check", "install", "test-ui", "unit", "unit"]),
        ({"test-ui": 2}, False, ["check", "install", "test-ui", "test-ui", "unit"]),
        ({"install": 1}, False, ["install"]),
    ],
    ids=str,
)
def test_what_fails_twice_fails_ci(tmp_path: Path, failures: dict[str, int], green: bool, ran: list[str]) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "tests/ui").mkdir(parents=True)
    (tmp_path / "tests/ui/run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "tests/ui/run.sh").chmod(0o755)
    counts = [f"{name}={failures.get(name, 0)}" for name in ("install", "check", "unit", "test-ui")]
    done = subprocess.run(
        [tmp_path / ".ci/run"],
        env={"PATH": "/usr/bin:/bin", "MAKEFLAGS": " ".join(counts)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode == 0) is green, done.stderr.decode()
    assert sorted((tmp_path / "ran").read_text().split()) == ran
    took = [
        line.partition(" s: make ")[2].split()[0] for line in done.stdout.decode().splitlines() if " s: make " in line
    ]
    assert sorted(took) == ran, "the last lines say what each step took"
