"""`eco2 new`: what it writes works at once, and passes the checks of the house."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.services import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, so that nothing is written into the real one."""
    for folder in ("functions", "shared", "runtime", "emulator"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "tests").mkdir()
    helpers = [path for path in (ROOT / "tests").glob("*.py") if not path.name.startswith("test_")]
    for path in (ROOT / "pyproject.toml", *helpers):
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    return tmp_path


def run(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=checkout,
        env={"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_kind_of_function_works_at_once(checkout: Path) -> None:
    made = [
        ("function", "waste/list_bins"),
        ("function", "waste/rename_bin", "--http", "PATCH /bins/{bin_id:uuid}"),
        ("function", "waste/rename_bin_of_this_kind", "--http", "PATCH /bins/{bin_id:uuid}/kinds/{kind_id:uuid}/name"),
        (
            "function",
            "waste/tell_bin",
            "--http",
            "PUT /b/{bin_id:uuid}/{kind_id:uuid}/{collection_point_id:uuid}/{x_id:uuid}",
        ),
        ("function", "waste/empty_bin", "--http", "DELETE /bins/{bin_id:uuid}"),
        ("function", "waste/bin_emptied", "--queue"),
        ("function", "storage/count_letters", "--queue"),
        ("function", "waste/sweep_bins", "--schedule", "60"),
        ("function", "waste/import_bins", "--command", "bins"),
        ("service", "weather"),
    ]
    files: list[str] = []
    for words in made:
        done = run(checkout, "-m", "runtime.cli", "new", *words)
        assert done.returncode == 0, done.stderr
        files += [str(checkout / line) for line in done.stdout.split("\n") if line.endswith(".py")]
    tests = [file for file in files if "/tests/" in file]
    assert len(tests) == len(made)
    done = run(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert done.returncode == 0, done.stdout
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check"], ["format", "--check"]):
        checked = subprocess.run([ruff, *command, "--no-cache", *files], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("function", "wast/x"), "did you mean waste"),
        (("function", "waste/X"), "lower case"),
        (("function", "storage/x"), "queue functions only"),
        (("function", "waste/x", "--http", "FETCH /x"), "a method and a path"),
        (("function", "waste/x", "--http", ""), "a method and a path"),
        (("function", "waste/x", "--http", 'GET /x", f("'), "a method and a path"),
        (("function", "waste/x", "--http", "GET /x/{x:int}"), "a method and a path"),
        (("function", "waste/x", "--http", "GET /x/{class:uuid}"), "a name of its own"),
        (("function", "waste/x", "--http", "GET /x/{user:uuid}"), "a name of its own"),
        (("function", "waste/x", "--http", "GET /{a:uuid}/{a:uuid}"), "a name of its own"),
        (("function", "waste/x", "--schedule", "0"), "at least 1"),
        (("function", "waste/x", "--command", 'a"b'), "a name in lower case"),
        # The whole checkout could not be read any more.
        (("function", "waste/class"), "no word of Python's own"),
        (("service", "import"), "no word of Python's own"),
        (("function", "waste/get_stats"), "exists already"),
        (("service", "waste"), "already"),
    ],
)
def test_a_mistake_is_explained_and_writes_nothing(words: tuple[str, ...], says: str) -> None:
    done = run(ROOT, "-m", "runtime.cli", "new", *words)
    assert done.returncode == 2
    assert says in done.stderr
