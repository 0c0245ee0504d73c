"""What goes into an image, before any program builds it: the same on every machine."""

import subprocess
import sys
from pathlib import Path

import pytest

from k8s.programs.build import gather
from k8s.programs.images import Image, wanted
from k8s.tools.store import sha256
from runtime.closure import Checkout, ClosureError
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


def test_the_reference_s_script_is_in_services_images_where_image_toml_names_it(checkout: Path, tmp_path: Path) -> None:
    script = "lib/flask_openapi_scalar/templates/scalar/js/scalar.standalone.js"
    without = {image.name: image for image in wanted(Checkout(checkout))}
    file = checkout / "k8s/image.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('reference = ""', 'reference = "flask-openapi-scalar"'), encoding="utf-8")
    changed = Checkout(checkout)
    images = {image.name: image for image in wanted(changed)}
    for name, image in images.items():
        serves = image.service is not None and not image.service.is_worker
        assert set(image.libraries) - set(without[name].libraries) == ({"flask-openapi-scalar"} if serves else set())
        assert (image.tag != without[name].tag) == serves
    gathered = context(changed, images["api-recycle-info"], tmp_path / "image")
    assert script in gathered
    assert "lib/flask/__init__.py" not in gathered
    found = subprocess.run(
        [sys.executable, "-S", "-c", "from runtime.http.reference import script_file; print(script_file())"],
        env={"PYTHONPATH": f"{tmp_path / 'image/app'}:{tmp_path / 'image/lib'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == str(tmp_path / "image" / script)
    file.write_text(text.replace('reference = ""', 'reference = "no-such-library"'), encoding="utf-8")
    with pytest.raises(ClosureError, match=r"image\.toml: reference names no-such-library"):
        wanted(Checkout(checkout))
