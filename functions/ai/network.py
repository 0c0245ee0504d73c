"""EfficientNet-Lite as an ONNX graph: in 8-bit integers for serving, in float32 to compare with.

What 8 bits need beside the weights is the range of each layer's outputs. It usually comes from photographs; here it comes
from the weights alone. Batch normalisation says what it makes of the training pictures: a channel of mean `bias` and
deviation `|weight|`. ReLU6 cuts that between 0 and 6; a sum of two layers has the sum of their means and variances. The same
means give the shift that rounding a layer's weights makes on average, which its bias then takes back (Nagel et al. 2019,
"Data-free quantization", whose ranges and bias correction these are). The file is the same wherever it is built.

Weights have 7 bits: processors without VNNI add two products in 16 bits, where 8-bit weights would overflow and every kind of
machine would see something else.
"""

from math import erf, pi, sqrt
from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from onnx import TensorProto, helper, numpy_helper

from functions.ai.variants import BANDS
from functions.ai.weights import Array

EPSILON = 1e-3
"""Batch normalisation's epsilon in EfficientNet (PyTorch's default would be 1e-5)."""

# Strides of the seven stages; a stage begins where the number of output channels changes.
_STRIDES = (1, 2, 2, 2, 1, 2, 1)
# Largest weight in 7 bits, and deviations from the mean that a range spans: 3 to 6 were tried and differ little.
_WEIGHT = 63
_SPAN = 4.0
# A channel whose weights are all but zero has a step that its bias still fits into.
_MAX_BIAS = 2.0**30


class _Value(Struct, frozen=True):
    """A layer's output: its name in the graph, each channel's mean and variance, and the step of its 8 bits."""

    name: str
    mean: Array
    variance: Array
    step: float = 0.0


class _Graph:
    """Collects nodes and constants."""

    def __init__(self, weights: dict[str, Array], side: int, quantised: bool) -> None:
        self.weights = dict(weights)
        self.side = side
        self.quantised = quantised
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any) -> str:
        # A number stays one, with no dimension: onnxruntime adds two layers in 8 bits only where their steps are such.
        self.constants.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node; returns the name of its output."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def rounded(self, name: str, mean: Array, variance: Array, *, clip: bool) -> _Value:
        """What a node puts out, in 8 bits: of 0 to 6 after ReLU6, else symmetric about 0."""
        spread = _SPAN * np.sqrt(variance)
        if clip:
            step, zero = float(np.clip((mean + spread).max(), 0.5, 6)) / 255, 0
            mean, variance = _relu6(mean, variance)
        else:
            step, zero = float((np.abs(mean) + spread).max()) / 127, 128
        return self.in_bytes(_Value(name, mean, variance, step), zero)

    def in_bytes(self, value: _Value, zero: int) -> _Value:
        if not self.quantised:
            return value
        scale = self.constant(f"{value.name}.step", np.float32(value.step))
        point = self.constant(f"{value.name}.zero", np.uint8(zero))
        inside = self.add("QuantizeLinear", value.name, scale, point)
        return _Value(self.add("DequantizeLinear", inside, scale, point), value.mean, value.variance, value.step)

    def convolution(self, value: _Value, name: str, norm: str, *, stride: int = 1, clip: bool = True) -> _Value:
        """Convolution with the batch normalisation after it folded in, and ReLU6."""
        weight, bias = fold(self.weights, name, norm)
        kernel, groups = weight.shape[2], weight.shape[0] if weight.shape[1] == 1 else 1
        # TensorFlow's "same": what is missing at the right and bottom first.
        size = -(-self.side // stride)
        total = max(0, (size - 1) * stride + kernel - self.side)
        pads = [total // 2, total // 2, total - total // 2, total - total // 2]
        self.side = size
        constants = self._constants(value, name, weight, bias)
        shape = {"kernel_shape": [kernel, kernel], "strides": [stride, stride], "pads": pads, "group": groups}
        result = self.add("Conv", value.name, *constants, **shape)
        if clip and not self.quantised:
            result = self.add("Clip", result, "zero", "six")  # in 8 bits the range itself cuts
        mean = self.weights[f"{norm}.bias"].astype(np.float64)
        return self.rounded(result, mean, self.weights[f"{norm}.weight"].astype(np.float64) ** 2, clip=clip)

    def _constants(self, value: _Value, name: str, weight: Array, bias: Array) -> tuple[str, str]:
        if not self.quantised:
            return self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)
        step, inside = _in_bytes(weight, bias, value.step)
        wrong = (inside * step[:, None, None, None] - weight).astype(np.float64).sum((2, 3))
        bias = bias - (wrong[:, 0] * value.mean if weight.shape[1] == 1 else wrong @ value.mean)
        both = (step.astype(np.float64) * value.step).astype(np.float32)
        whole = np.rint(bias / both).astype(np.int32)
        return self._unrounded(f"{name}.weight", inside, step), self._unrounded(f"{name}.bias", whole, both)

    def _unrounded(self, name: str, inside: Array, step: Array) -> str:
        zero = self.constant(f"{name}.zero", np.zeros(len(step), inside.dtype))
        return self.add(
            "DequantizeLinear", self.constant(name, inside), self.constant(f"{name}.step", step), zero, axis=0
        )


def _in_bytes(weight: Array, bias: Array, step_of_input: float) -> tuple[Array, Array]:
    """Each output channel's step, and its weights as whole numbers of steps."""
    widest = np.abs(weight).reshape(len(weight), -1).max(1).astype(np.float64) / _WEIGHT
    step = np.maximum(widest, np.maximum(np.abs(bias) / step_of_input / _MAX_BIAS, 1e-12)).astype(np.float32)
    return step, np.clip(np.rint(weight / step[:, None, None, None]), -_WEIGHT, _WEIGHT).astype(np.int8)


def _relu6(mean: Array, variance: Array) -> tuple[Array, Array]:
    """Mean and variance of normally distributed channels after ReLU6."""
    deviation = np.maximum(np.sqrt(variance), 1e-6)
    below = np.vectorize(lambda x: 0.5 * (1 + erf(x / sqrt(2))), otypes=[np.float64])
    low, high = -mean / deviation, (6 - mean) / deviation
    at_low, at_high = np.exp(-(low**2) / 2) / sqrt(2 * pi), np.exp(-(high**2) / 2) / sqrt(2 * pi)
    inside = below(high) - below(low)
    cut = mean * inside + deviation * (at_low - at_high) + 6 * (1 - below(high))
    square = (
        (mean**2 + deviation**2) * inside + deviation * (mean * at_low - (mean + 6) * at_high) + 36 * (1 - below(high))
    )
    return cut, np.maximum(square - cut**2, 0)


def fold(weights: dict[str, Array], name: str, norm: str) -> tuple[Array, Array]:
    """Weight and bias of a convolution that does what the convolution and the normalisation did one after the other."""
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + np.float32(EPSILON))
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return weights[f"{name}.weight"] * scale[:, None, None, None], bias


def build(weights: dict[str, Array], side: int, *, quantised: bool = True, title: str = "") -> Any:
    """The ONNX model: `image` uint8 [n, side, side, BANDS] to `features` [n, 1280] and `logits` [n, 1000] in float32.

    Of the bands red, green and blue are seen. `title` is what the file says that it is.
    """
    graph = _Graph(weights, side, quantised)
    value = _blocks(graph, graph.convolution(_input(graph), "_conv_stem", "_bn0", stride=2))
    value = graph.convolution(value, "_conv_head", "_bn1")
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", value.name), axis=1)
    graph.nodes.append(helper.make_node("Identity", [pooled], ["features"]))
    classifier = [graph.constant(f"_fc.{part}", weights[f"_fc.{part}"]) for part in ("weight", "bias")]
    graph.nodes.append(helper.make_node("Gemm", [pooled, *classifier], ["logits"], transB=1))
    classes, features = weights["_fc.weight"].shape
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "efficientnet-lite",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", side, side, BANDS])],
            [
                helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", features]),
                helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes]),
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        producer_name="eco2",
    )
    model.ir_version = 8
    helper.set_model_props(model, {"title": title})
    onnx.checker.check_model(model, full_check=True)
    return model


def _input(graph: _Graph) -> _Value:
    """Pixels as the network was trained on them: (value - 127) / 128, of which 8 bits are the pixel itself."""
    stem = "_conv_stem.weight"
    graph.weights[stem] = np.pad(graph.weights[stem], ((0, 0), (0, BANDS - 3), (0, 0), (0, 0)))
    value = graph.add("Transpose", "image", perm=[0, 3, 1, 2])
    if graph.quantised:
        point = graph.constant("image.zero", np.uint8(127))
        value = graph.add("DequantizeLinear", value, graph.constant("image.step", np.float32(1 / 128)), point)
    else:
        graph.constant("zero", np.float32(0))
        graph.constant("six", np.float32(6))
        value = graph.add("Cast", value, to=TensorProto.FLOAT)
        value = graph.add("Sub", value, graph.constant("image.mean", np.float32(127)))
        value = graph.add("Mul", value, graph.constant("image.scale", np.float32(1 / 128)))
    return _Value(value, np.zeros(BANDS), np.ones(BANDS), 1 / 128)


def _blocks(graph: _Graph, value: _Value) -> _Value:
    stage, channels, index = -1, 0, 0
    while f"_blocks.{index}._project_conv.weight" in graph.weights:
        out = graph.weights[f"_blocks.{index}._project_conv.weight"].shape[0]
        first = out != channels
        stage += first
        inner = _block(graph, value, f"_blocks.{index}", _STRIDES[stage] if first else 1)
        if not first:
            added = graph.add("Add", inner.name, value.name)
            inner = graph.rounded(added, inner.mean + value.mean, inner.variance + value.variance, clip=False)
        value, channels, index = inner, out, index + 1
    return value


def _block(graph: _Graph, value: _Value, name: str, stride: int) -> _Value:
    """One inverted bottleneck: expand, depthwise, project."""
    if f"{name}._expand_conv.weight" in graph.weights:
        value = graph.convolution(value, f"{name}._expand_conv", f"{name}._bn0")
    value = graph.convolution(value, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride)
    return graph.convolution(value, f"{name}._project_conv", f"{name}._bn2", clip=False)
