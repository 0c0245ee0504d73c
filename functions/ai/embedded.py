"""The embedded photo provider: EfficientNet-Lite on onnxruntime, no network, one thread an image.

Numbers here were chosen on the tuning part of the evaluation (`python -m tests.eval.photos`, table in docs/AI.md).
"""

from __future__ import annotations

import logging
import os
import threading
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from functions.ai.labels import CLASSES, IMAGENET, MODEL
from shared.errors import Unavailable
from shared.messages import Candidate, Classification

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)

TEMPERATURE = 0.9
THRESHOLD = 0.55

CANDIDATES = 3
"""Most candidates of an answer."""

# The network was trained on centre crops that leave 16 pixels of padding at each side.
_PADDING = 32

Logits = npt.NDArray[np.float32]


class ModelMissing(Exception):
    """The classifier's file is not there: the message says how to build it."""


# A crop that differs from the network's side by less than this share is cut at that side and not resized: a thumbnail of a
# 4:3 photo has 267 pixels where 260 are wanted, and resizing it costs more than decoding it.
_NEAR = 0.05


def prepare(photo: Image.Image, side: int) -> npt.NDArray[np.uint8]:
    """The centre crop that the network was trained on, [side, side, 3] in RGB, resized bicubically where need be."""
    width, height = photo.size
    crop = min(width, height) * side / (side + _PADDING)
    if side <= crop < side * (1 + _NEAR):
        x, y = (width - side) // 2, (height - side) // 2
        return np.asarray(photo.crop((x, y, x + side, y + side)))
    left, top = (width - crop) / 2, (height - crop) / 2
    box = (left, top, left + crop, top + crop)
    return np.asarray(photo.resize((side, side), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0))


class Classifier:
    """One ONNX session; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        # Read by onnxruntime when it is imported: this process reports to nobody.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        if not path.is_file():
            raise ModelMissing(f"{path} is not there: python -m functions.ai.model_build {path.parent}")
        options = onnxruntime.SessionOptions()
        # The worker's threads are the parallelism; more of them inside one image would only wait for each other.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.side: int = self._session.get_inputs()[0].shape[1]
        # Two images that share a core take turns inside of it, and push each other's numbers out of its cache.
        self._cores = threading.Semaphore(len(os.sched_getaffinity(0)))

    def logits(self, photo: bytes) -> Logits:
        """The network's 1000 outputs for an encoded photo."""
        with Image.open(BytesIO(photo), formats=("JPEG", "PNG", "WEBP")) as image:
            # A JPEG is decoded at the smallest of 1, 1/2, 1/4, 1/8 that still holds the network's pixels.
            scale = (self.side + _PADDING) / min(image.size)
            image.draft("RGB", (round(image.width * scale), round(image.height * scale)))
            prepared = prepare(image.convert("RGB"), self.side)
        return cast(Logits, self.run(prepared[None])[0])

    def run(self, images: npt.NDArray[np.uint8]) -> Logits:
        """[n, side, side, 3] uint8 to [n, 1000] outputs."""
        with self._cores:
            (answer,) = self._session.run(["logits"], {"image": images})
        return cast(Logits, answer)


_TYPES = tuple(IMAGENET)
# One row a waste type, 1 at its classes: probabilities by type are one product.
_MEMBERS = np.zeros((len(_TYPES), CLASSES), np.float32)
for _row, _waste_type in enumerate(_TYPES):
    _MEMBERS[_row, list(IMAGENET[_waste_type])] = 1


def by_type(logits: Logits, temperature: float = TEMPERATURE) -> npt.NDArray[np.float64]:
    """Probability of each type of `labels.IMAGENET`, in its order; what is missing to 1 belongs to no type."""
    scaled = logits.astype(np.float64) / temperature
    probabilities = np.exp(scaled - scaled.max())
    answer: npt.NDArray[np.float64] = _MEMBERS @ (probabilities / probabilities.sum())
    return answer


def decide(sums: npt.NDArray[np.float64], threshold: float = THRESHOLD) -> tuple[str, float, list[Candidate]]:
    """Type, confidence and candidates. Under the threshold the type is `unknown`, its confidence the first candidate's."""
    order = np.argsort(-sums, kind="stable")[:CANDIDATES]
    candidates = [Candidate(_TYPES[index], round(float(sums[index]), 4)) for index in order if sums[index] >= 0.01]
    best = float(sums[order[0]])
    return (_TYPES[order[0]] if best >= threshold else "unknown"), round(best, 4), candidates


class EmbeddedPhotos:
    """The provider: loads its model at the first photo, once a process."""

    provider = "embedded"

    def __init__(self, model_dir: Path, model: str = MODEL) -> None:
        self._path = model_dir / f"{model}.onnx"
        self.model = f"efficientnet-{model}"
        self._classifier: Classifier | None = None
        self._loading = threading.Lock()

    def classify(self, photo: bytes, spender: str = "", deadline: datetime | None = None) -> Classification:
        """Costs nothing, so nobody pays.

        Raises:
            Unavailable: the model's file is not there (yet).
        """
        waste_type, confidence, candidates = decide(by_type(self._loaded().logits(photo)))
        return Classification(waste_type, confidence, candidates, self.provider, self.model)

    def _loaded(self) -> Classifier:
        with self._loading:
            if self._classifier is None:
                try:
                    self._classifier = Classifier(self._path)
                except ModelMissing as missing:
                    # An operator's mistake is no reason to fail people's photos: they wait until it is put right.
                    log.error("%s", missing)
                    raise Unavailable("classifier", retry_after=30) from missing
            return self._classifier
