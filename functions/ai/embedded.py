"""The embedded photo provider: EfficientNet-Lite in 8 bits on onnxruntime, no network, one thread an image.

A photo is looked at three times: its middle, closer, and the whole of it. What the network sees of it is judged by
`functions/ai/judging.py`.
"""

from __future__ import annotations

import logging
import os
import threading
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from PIL import Image

from functions.ai import deciding, judging
from functions.ai.labels import MODEL
from shared.errors import Unavailable
from shared.messages import Classification

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)

VIEWS = (0.89, 0.62)
"""Share of the photo's shorter side that a view shows, from its middle. The network was trained on the first."""

SEEN = len(VIEWS) + 1
"""Views of a photo: those of its middle, and the whole of it, pressed into a square."""

Pixels = npt.NDArray[np.uint8]

# A crop that differs from the network's side by less than this share is cut at that side and not resized: a thumbnail of a
# 4:3 photo has 267 pixels where 260 are wanted, and resizing it costs more than decoding it.
_NEAR = 0.05


class Seen(Struct, frozen=True):
    """What the network makes of views: pooled features [views, 1280] and the outputs of ImageNet's classes [views, 1000]."""

    features: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]


class ModelMissing(Exception):
    """The classifier's file is not there: the message says how to build it."""


def views(photo: Image.Image, side: int) -> Pixels:
    """[SEEN, side, side, 3] in RGB."""
    return np.stack([*(_middle(photo, side, share) for share in VIEWS), _resized(photo, side)])


def _resized(photo: Image.Image, side: int, box: tuple[float, float, float, float] | None = None) -> Pixels:
    return np.asarray(photo.resize((side, side), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0))


def _middle(photo: Image.Image, side: int, share: float) -> Pixels:
    width, height = photo.size
    crop = min(width, height) * share
    if side <= crop < side * (1 + _NEAR):
        x, y = (width - side) // 2, (height - side) // 2
        return np.asarray(photo.crop((x, y, x + side, y + side)))
    left, top = (width - crop) / 2, (height - crop) / 2
    return _resized(photo, side, (left, top, left + crop, top + crop))


class Classifier:
    """One ONNX session; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        # Read by onnxruntime when it is imported: this process reports to no one.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        if not path.is_file():
            raise ModelMissing(f"{path} is not there: python -m functions.ai.model_build {path.parent}")
        options = onnxruntime.SessionOptions()
        # The worker's threads are the parallelism; more of them inside one image would only wait for each other.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Its own arena keeps 10 MB from photo to photo and is no faster here.
        options.enable_cpu_mem_arena = False
        self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.side: int = self._session.get_inputs()[0].shape[1]
        # Two images that share a core take turns inside of it, and push each other's numbers out of its cache.
        self._cores = threading.Semaphore(len(os.sched_getaffinity(0)))

    def look(self, photo: bytes) -> Seen:
        """What the network makes of an encoded photo."""
        with Image.open(BytesIO(photo), formats=("JPEG", "PNG", "WEBP")) as image:
            # A JPEG is decoded at the smallest of 1, 1/2, 1/4, 1/8 that still holds the closest view's pixels.
            scale = self.side / min(VIEWS) / min(image.size)
            image.draft("RGB", (round(image.width * scale), round(image.height * scale)))
            return self.run(views(image.convert("RGB"), self.side))

    def run(self, images: Pixels) -> Seen:
        """[n, side, side, 3] views."""
        with self._cores:
            # One after the other: a view's numbers fit into the core's cache, those of all do not.
            found = [self._session.run(["features", "logits"], {"image": image[None]}) for image in images]
        features, logits = zip(*found, strict=True)
        return Seen(np.concatenate(features), np.concatenate(logits))


class EmbeddedPhotos:
    """The provider: loads its model at the first photo, once a process."""

    provider = "embedded"

    def __init__(self, model_dir: Path) -> None:
        self._path = model_dir / f"{MODEL}.onnx"
        self._judge = judging.read_judge()
        self.model = f"efficientnet-{MODEL}-{self._judge.name}"
        self._classifier: Classifier | None = None
        self._loading = threading.Lock()

    def classify(self, photo: bytes, spender: str = "", deadline: datetime | None = None) -> Classification:
        """Costs nothing, so no one pays.

        Raises:
            Unavailable: the model's file is not there (yet).
        """
        seen = self._loaded().look(photo)
        judged, item = self._judge.types(seen.features, seen.logits), judging.item(seen.logits)
        return deciding.answer(
            [*judged.confidences.items()], self.provider, self.model, item, judged.least, judged.told
        )

    def _loaded(self) -> Classifier:
        with self._loading:
            if self._classifier is None:
                try:
                    self._classifier = Classifier(self._path)
                except ModelMissing as missing:
                    # An operator's mistake does not justify failing people's photos: they wait until it is put right.
                    log.error("%s", missing)
                    raise Unavailable("classifier", retry_after=30) from missing
            return self._classifier
