"""What goes into an image, before any program builds it: the same on every machine."""

from pathlib import Path

import pytest

from k8s.programs.build import gather
from k8s.programs.images import Image, wanted
from k8s.tools.store import sha256
from runtime.closure import Checkout
from tests.k8s.conftest import different


def context(checkout: Checkout, image: Image, folder: Path) -> dict[str, str]:
    """Mode and content of every file of an image's build context, by its path."""
    folder.mkdir()
    gather(checkout, image, folder)
    found = {}
    for path in sorted(folder.rglob("*")):
        content = sha256(path) if path.is_file() else ""
        found[path.relative_to(folder).as_posix()] = f"{path.stat().st_mode:o} {content}"
    return found


@pytest.fixture
def first(tmp_path: Path) -> dict[str, str]:
    checkout = Checkout()
    return context(checkout, wanted(checkout)[0], tmp_path / "first")


def test_another_machine_gathers_the_same_context(first: dict[str, str], another_machine: Path, tmp_path: Path) -> None:
    checkout = Checkout(another_machine)
    second = context(checkout, wanted(checkout)[0], tmp_path / "second")
    assert "lib/litestar/__init__.py" in first
    names = different(first, second)
    assert not names, f"these differ: {', '.join(names)}"
