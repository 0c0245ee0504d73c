import os
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from functions.ai import model_build
from functions.ai.embedded import Classifier
from functions.ai.model_build import BuildError, fold, read_weights


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


def test_the_weights_of_every_wheel_are_read_whole() -> None:
    for name, count in [("lite0", 296), ("lite1", 386), ("lite2", 386)]:
        weights = read_weights(model_build.weights_path(name))
        assert len(weights) == count
        assert weights["_fc.weight"].shape == (1000, 1280)
        assert all(np.isfinite(array).all() for array in weights.values())


def test_a_cut_file_is_said_to_be_one(tmp_path: Path) -> None:
    whole = model_build.weights_path("lite0").read_bytes()
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
        tensor = model_build._Tensor(storage, offset, shape, stride)
        with pytest.raises(ValueError, match="outside"):
            model_build._view(np.zeros(4, np.float32), tensor)
    assert struct.calcsize("<q") == 8


def test_folding_does_what_normalising_afterwards_did() -> None:
    chance = np.random.default_rng(3)
    weights = {
        "conv.weight": chance.normal(size=(6, 4, 1, 1)).astype(np.float32),
        "norm.weight": chance.normal(size=6).astype(np.float32),
        "norm.bias": chance.normal(size=6).astype(np.float32),
        "norm.running_mean": chance.normal(size=6).astype(np.float32),
        "norm.running_var": chance.random(6).astype(np.float32),
    }
    pixels = chance.normal(size=(4, 50)).astype(np.float32)
    plain = weights["conv.weight"][:, :, 0, 0] @ pixels
    spread = np.sqrt(weights["norm.running_var"] + 1e-3)[:, None]
    normal = (plain - weights["norm.running_mean"][:, None]) / spread
    wanted = normal * weights["norm.weight"][:, None] + weights["norm.bias"][:, None]
    weight, bias = fold(weights, "conv", "norm")
    np.testing.assert_allclose(weight[:, :, 0, 0] @ pixels + bias[:, None], wanted, rtol=1e-4, atol=1e-4)


def test_a_current_file_is_left_alone_and_a_damaged_one_built_anew(tmp_path: Path) -> None:
    path, built = model_build.write(tmp_path / "deep" / "model", "lite0")
    assert built
    before = path.stat().st_mtime_ns
    assert model_build.write(path.parent, "lite0") == (path, False)
    assert path.stat().st_mtime_ns == before
    path.write_bytes(path.read_bytes()[:-1])
    assert model_build.write(path.parent, "lite0") == (path, True)
    assert {file.name for file in path.parent.iterdir()} == {"lite0.onnx", "lite0.json"}, "nothing half-written is left"


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "functions.ai.model_build", str(tmp_path), "--model", "lite0"]
    for word in ("built", "is current"):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"{tmp_path / 'lite0.onnx'}: {word}\n"
    (tmp_path / "file").write_text("in the way")
    command[3] = str(tmp_path / "file")
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1


def test_every_size_takes_its_pixels_and_gives_a_thousand_classes(tmp_path: Path) -> None:
    for name, variant in model_build.VARIANTS.items():
        path, _ = model_build.write(tmp_path, name)
        classifier = Classifier(path)
        assert classifier.side == variant.side
        assert classifier.run(np.zeros((2, variant.side, variant.side, 3), np.uint8)).shape == (2, 1000)
