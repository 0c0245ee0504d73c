"""What the tests of the delivery share: a checkout to change, the overlays as kustomize puts them together."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from k8s.programs.deploy import overlay_documents, put_images
from k8s.programs.environments import environment
from k8s.programs.images import TOOLS, wanted
from k8s.programs.jobs import migration_job, prepare_job
from k8s.programs.templates import Document
from runtime.closure import Checkout
from runtime.services import ROOT

PARTS = ("functions", "shared", "runtime", "k8s", "emulator", "locks", "pyproject.toml")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout that a test may change."""
    root = tmp_path / "checkout"
    root.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / part)
    return root


@pytest.fixture
def another_machine(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same checkout as somebody else has it: elsewhere, younger, with another Python, temp folder and umask."""
    for path in checkout.rglob("*"):
        os.utime(path, (1, 1))
    venv.create(tmp_path / "python", symlinks=True)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("UV_PYTHON", str(tmp_path / "python/bin/python"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = os.umask(0o077)
    yield checkout
    os.umask(before)


def different(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The names of what is not the same in both, for a message that can be read."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


@pytest.fixture
def eco2(checkout: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`eco2("plan", "--json")` in that copy, with a state folder of its own and `kubectl` only if the test put one there."""

    return functools.partial(run_eco2, checkout, tmp_path)


def run_eco2(root: Path, home: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a checkout, with its state and its programs in the folder `home`."""
    env = {"PATH": str(home / "bin"), "ECO2_STATE": str(home / "state"), "HOME": str(home), **environ}
    program = [sys.executable, "-m", "runtime.cli", *words]
    return subprocess.run(program, cwd=root, env=env, capture_output=True, text=True, check=False)


def kubectl_or_skip() -> str:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("kubectl is not installed: it brings the kustomize that puts overlays together")
    return program


@pytest.fixture(scope="session", params=["dev", "prod"])
def overlay(request: pytest.FixtureRequest) -> list[Document]:
    """All objects of an environment as a deploy of this checkout brings them, jobs included."""
    kubectl_or_skip()
    env, images = environment(request.param), wanted(Checkout())
    documents = overlay_documents(request.param)
    put_images(documents, images, env)
    for image in images:
        full_name = env.image(image.name, image.tag)
        if image.name == TOOLS:
            documents.append(prepare_job(full_name, image.tag))
        elif image.service and not image.service.is_worker:
            documents += [migration_job(image, full_name, phase) for phase in ("before", "after")]
    return documents
