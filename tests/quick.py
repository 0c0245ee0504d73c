"""`make quick`: the tests that a change reaches, nearest first, as many as fit into a minute.

What has changed is what git sees as different from HEAD; with nothing changed, the last commit. How long a test file takes is
known from the last runs (build/durations.json, written by tests/conftest.py). Slow tests are left to `make slow`.
"""

import json
import subprocess
import sys

import pytest

from runtime.services import ROOT
from tests.reach import Reach

# Seconds of tests that are begun: two processes, their servers' start, and a machine that is not alone.
BUDGET = 60.0
UNKNOWN = 8.0  # a file that has never run here; the longest of those near the journal take 15


def changed() -> list[str]:
    """Files that differ from HEAD, or from the commit before where nothing does."""

    def git(*words: str) -> list[str]:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()

    found = git("diff", "--name-only", "HEAD") + git("ls-files", "--others", "--exclude-standard")
    return found or git("diff", "--name-only", "HEAD~1", "HEAD")


def slowly(test: str) -> str:
    """A file's slow tests, by the name that their time has in build/durations.json: most runs leave them out."""
    return f"{test} slow"


def chosen(
    tests: list[str], durations: dict[str, float], budget: float = BUDGET, unknown: float = UNKNOWN
) -> list[str]:
    """The first tests whose known time fits, and never none of them; `unknown` is what one takes that has never run here."""
    found: list[str] = []
    left = budget
    for test in tests:
        takes = durations.get(test, unknown)
        if takes <= left or not found:
            found.append(test)
            left -= takes
    return found


def main() -> int:
    files = changed()
    tests = Reach().tests_of(files)
    known = ROOT / "build/durations.json"
    durations = json.loads(known.read_text()) if known.exists() else {}
    run = chosen(tests, durations)
    print(f"{len(files)} files changed, {len(tests)} test files reached, {len(run)} of them run", flush=True)
    if not run:
        return 0
    words = ["-q", "-n", "2", "--dist", "loadfile", "-m", "not slow", *run, *sys.argv[1:]]
    code = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=ROOT, check=False).returncode
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else code


if __name__ == "__main__":
    sys.exit(main())
