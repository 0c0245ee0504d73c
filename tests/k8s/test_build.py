"""What goes into an image, before any program builds it: the same on every machine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from k8s.programs import build
from k8s.programs.build import gather
from k8s.programs.images import Image, wanted
from k8s.tools.store import sha256
from runtime.closure import Checkout, ClosureError
from runtime.services import ROOT
from tests.k8s.conftest import different

SCRIPT = "lib/flask_openapi_scalar/templates/scalar/js/scalar.standalone.js"


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


def test_libraries_are_fetched_by_their_hashes_alone_and_nothing_changes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[str]] = []
    monkeypatch.setattr(build, "_run", lambda words, **_: told.append(words))
    texts = ["as it was"] * 2 + ["as it was", "changed"]
    checkout: Any = SimpleNamespace(
        root=ROOT,
        image={"python": "3.11"},
        lock=SimpleNamespace(pins={"one": "one==1 --hash=sha256:1", "other": "other==2"}),
        text=lambda file: texts.pop(0),
    )
    monkeypatch.setattr(build, "Checkout", lambda root: checkout)
    image: Any = SimpleNamespace(files=["shared/clock.py"], libraries=["one"], service=None)
    (tmp_path / "first").mkdir()
    gather(checkout, image, tmp_path / "first")
    ((_, *words),) = told
    lib, lock = tmp_path / "first/lib", tmp_path / "first/requirements.txt"
    assert " ".join(words) == (
        f"pip install --quiet --target {lib} --no-deps --require-hashes --only-binary :all:"
        f" --python-platform {build.PLATFORM} --python-version 3.11 -r {lock}"
    )
    assert lock.read_text() == "one==1 --hash=sha256:1\n"
    with pytest.raises(build.BuildError, match=r"^changed while the image was being built: shared/clock\.py$"):
        gather(checkout, image, tmp_path / "second")
    assert len(told) == 1


def refer_to(checkout: Path, library: str) -> None:
    file = checkout / "k8s/image.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r'reference = ".*"', f'reference = "{library}"', text), encoding="utf-8")


def test_the_reference_s_script_is_in_services_images_where_image_toml_names_it(checkout: Path, tmp_path: Path) -> None:
    without = {image.name: image for image in wanted(Checkout(checkout))}
    refer_to(checkout, "flask-openapi-scalar")
    changed = Checkout(checkout)
    images = {image.name: image for image in wanted(changed)}
    for name, image in images.items():
        serves = image.service is not None and not image.service.is_worker
        assert set(image.libraries) - set(without[name].libraries) == ({"flask-openapi-scalar"} if serves else set())
        assert (image.tag != without[name].tag) == serves
    gathered = context(changed, images["api-recycle-info"], tmp_path / "image")
    assert SCRIPT in gathered
    assert "lib/flask/__init__.py" not in gathered
    refer_to(checkout, "no-such-library")
    with pytest.raises(ClosureError, match=r"image\.toml: reference names no-such-library"):
        wanted(Checkout(checkout))


def test_an_image_finds_the_reference_s_script(checkout: Path, tmp_path: Path) -> None:
    python = tomllib.loads((checkout / "k8s/image.toml").read_text(encoding="utf-8"))["python"]
    if not sys.version.startswith(f"{python}."):
        pytest.skip(f"an image's libraries are Python {python}'s")
    refer_to(checkout, "flask-openapi-scalar")
    changed = Checkout(checkout)
    (image,) = [image for image in wanted(changed) if image.name == "api-recycle-info"]
    context(changed, image, tmp_path / "image")
    found = subprocess.run(
        [sys.executable, "-S", "-c", "from runtime.http.reference import script_file; print(script_file())"],
        env={"PYTHONPATH": f"{tmp_path / 'image/app'}:{tmp_path / 'image/lib'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(tmp_path / "image" / SCRIPT)
