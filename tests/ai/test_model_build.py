import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from msgspec import structs
from PIL import Image

from functions.ai import model_build, network, weights
from functions.ai.embedded import Network, views
from functions.ai.network import build, fold
from functions.ai.variants import REVISION, VARIANTS, Variant
from functions.ai.weights import BuildError, read_weights
from tests.ai.test_embedded import shipped


class _Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("echo reached",)


def weights_file(path: Path, state: object, data: bytes = b"") -> Path:
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, state, ["0"]]
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts) + data)
    return path


def test_a_pickle_that_calls_something_is_not_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BuildError, match=r"asks for (posix|nt)\.system"):
        read_weights(weights_file(tmp_path / "evil.pth", {"weight": _Evil()}))
    assert "reached" not in capfd.readouterr().out


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_the_wheels_weights_are_read_whole(variant: Variant) -> None:
    found = read_weights(model_build.weights_path(variant))
    assert len(found) == 386
    assert found["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(array).all() for array in found.values())


def test_a_cut_file_is_said_to_be_one(tmp_path: Path) -> None:
    whole = model_build.weights_path(VARIANTS[0]).read_bytes()
    for size in (0, 10, 30_000, 60_000, len(whole) - 1):
        (tmp_path / "cut.pth").write_bytes(whole[:size])
        with pytest.raises(BuildError):
            read_weights(tmp_path / "cut.pth")


def test_a_file_of_another_format_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "zip.pth").write_bytes(b"PK\x03\x04" + bytes(200))
    with pytest.raises(BuildError):
        read_weights(tmp_path / "zip.pth")


def test_a_tensor_outside_of_its_storage_is_refused() -> None:
    storage = ("storage", "FloatStorage", "0", "cpu", 4, None)
    for offset, shape, stride in [(0, (5,), (1,)), (2, (3,), (1,)), (0, (2, 2), (100, 1)), (-1, (1,), (1,))]:
        tensor = weights._Tensor(storage, offset, shape, stride)
        with pytest.raises(ValueError, match="outside"):
            weights._view(np.zeros(4, np.float32), tensor)
    assert struct.calcsize("<q") == 8


def test_folding_does_what_normalising_afterwards_did() -> None:
    chance = np.random.default_rng(3)
    made = {
        "conv.weight": chance.normal(size=(6, 4, 1, 1)).astype(np.float32),
        "norm.weight": chance.normal(size=6).astype(np.float32),
        "norm.bias": chance.normal(size=6).astype(np.float32),
        "norm.running_mean": chance.normal(size=6).astype(np.float32),
        "norm.running_var": chance.random(6).astype(np.float32),
    }
    pixels = chance.normal(size=(4, 50)).astype(np.float32)
    plain = made["conv.weight"][:, :, 0, 0] @ pixels
    spread = np.sqrt(made["norm.running_var"] + 1e-3)[:, None]
    normal = (plain - made["norm.running_mean"][:, None]) / spread
    wanted = normal * made["norm.weight"][:, None] + made["norm.bias"][:, None]
    weight, bias = fold(made, "conv", "norm")
    np.testing.assert_allclose(weight[:, :, 0, 0] @ pixels + bias[:, None], wanted, rtol=1e-4, atol=1e-4)


def test_a_current_file_is_left_alone_and_a_damaged_one_built_anew(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "model"
    one, other = (folder / variant.file for variant in VARIANTS)
    assert model_build.write(folder) == {one: True, other: True}
    content, before = one.read_bytes(), one.stat().st_mtime_ns
    assert model_build.write(folder) == {one: False, other: False}
    assert one.stat().st_mtime_ns == before
    one.write_bytes(content[:-1])
    assert model_build.write(folder) == {one: True, other: False}
    assert one.read_bytes() == content, "the same file wherever it is built"
    left = {file.name for file in folder.iterdir()}
    assert left == {"lite1.json", "lite1.onnx", "lite2.json", "lite2.onnx"}, "nothing half-written is left"


def test_a_folder_of_the_version_before_gets_what_is_missing_and_new(tmp_path: Path) -> None:
    """That had lite2 alone, and a file that did not say what it is."""
    files = model_build.write(tmp_path)
    one, other = files
    other.unlink()
    facts = one.with_suffix(".json")
    facts.write_text(facts.read_text().replace(f'"revision": {REVISION}', '"revision": 2'))
    assert model_build.write(tmp_path) == dict.fromkeys(files, True)


def test_a_wheel_that_is_not_there_yet_is_named_with_what_brings_it() -> None:
    """As after `git pull` of a version with one more network, before anything was installed."""
    with pytest.raises(BuildError, match=r"^efficientnet-lite9-pytorch-model is not installed: `make install`"):
        model_build.weights_path(structs.replace(VARIANTS[0], name="lite9"))


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "functions.ai.model_build", str(tmp_path)]
    for word in ("built", "is current"):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == "".join(f"{tmp_path / variant.file}: {word}\n" for variant in VARIANTS)
    (tmp_path / "file").write_text("in the way")
    command[3] = str(tmp_path / "file")
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_eight_bits_see_what_32_do(variant: Variant, tmp_path: Path) -> None:
    found = read_weights(model_build.weights_path(variant))
    images = views(Image.open(BytesIO(shipped("coffee.png"))))
    seen = {}
    for quantised in (True, False):
        path = tmp_path / f"{quantised}.onnx"
        content = build(found, variant.side, quantised=quantised, title=variant.title)
        path.write_bytes(content.SerializeToString())
        seen[quantised] = Network(path, variant).run(images)
    for eight, whole in zip(seen[True][0], seen[False][0], strict=True):
        assert eight @ whole / np.linalg.norm(eight) / np.linalg.norm(whole) > 0.97
    assert (seen[True][1].argmax(axis=1) == seen[False][1].argmax(axis=1)).all()


def test_layers_are_added_in_eight_bits(tmp_path: Path) -> None:
    variant, path = VARIANTS[-1], tmp_path / "model.onnx"
    path.write_bytes(build(read_weights(model_build.weights_path(variant)), variant.side).SerializeToString())
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    operators = {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}
    assert "QLinearAdd" in operators
    assert "Add" not in operators


def test_the_ranges_of_relu6_are_those_of_drawn_numbers() -> None:
    mean, deviation = np.array([-2.0, 0.3, 3.0, 8.0]), np.array([1.0, 0.5, 2.0, 3.0])
    drawn = np.clip(np.random.default_rng(1).normal(mean, deviation, (200_000, 4)), 0, 6)
    cut, variance = network._relu6(mean, deviation**2)
    np.testing.assert_allclose(cut, drawn.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(variance, drawn.var(axis=0), atol=0.05)
