"""The embedded photo provider: two EfficientNet-Lites in 8 bits on onnxruntime, no internet, one thread an image.

They look at a photo's middle and at the whole of it, in the order of `functions/ai/stages.py`, which leaves out what would
not change the answer. What they see is judged by `functions/ai/judging.py`.
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

from functions.ai import deciding, judging, stages
from functions.ai.judging import Judge, Judged, Look
from functions.ai.structure import shows_something
from functions.ai.variants import BANDS, MODEL, SIDE, VARIANTS, Variant
from shared.errors import Unavailable
from shared.messages import Classification

if TYPE_CHECKING:
    import onnxruntime

log = logging.getLogger(__name__)

MIDDLE = 0.89
"""Share of the photo's shorter side that its middle is: the networks were trained on such pictures."""

SEEN = 2
"""Views of a photo: its middle, and the whole of it, pressed into a square."""

Pixels = npt.NDArray[np.uint8]

# A crop that differs from the network's side by less than this share is cut at that side and not resized: a thumbnail of a
# 4:3 photo has 267 pixels where 260 are wanted, and resizing it costs more than decoding it.
_NEAR = 0.05


class Seen(Struct, frozen=True):
    """What the networks make of views: features [networks, views, 1280], ImageNet's outputs [networks, views, 1000]."""

    features: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]


class ModelMissing(Exception):
    """A file of the classifier is not there, broken or another version's: the message says how to build it."""


def views(photo: Image.Image) -> Pixels:
    """[SEEN, SIDE, SIDE, 3] in RGB."""
    return np.stack([middle(photo, MIDDLE), np.asarray(_resized(photo, SIDE))])


def _resized(photo: Image.Image, side: int, box: tuple[float, float, float, float] | None = None) -> Image.Image:
    return photo.resize((side, side), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)


def middle(photo: Image.Image, share: float) -> Pixels:
    """[SIDE, SIDE, 3]: that share of the shorter side, from the middle."""
    width, height = photo.size
    crop = min(width, height) * share
    if SIDE <= crop < SIDE * (1 + _NEAR):
        x, y = (width - SIDE) // 2, (height - SIDE) // 2
        return np.asarray(photo.crop((x, y, x + SIDE, y + SIDE)))
    left, top = (width - crop) / 2, (height - crop) / 2
    return np.asarray(_resized(photo, SIDE, (left, top, left + crop, top + crop)))


class Network:
    """One variant's ONNX session; safe to use from several threads."""

    def __init__(self, path: Path, variant: Variant) -> None:
        # Read by onnxruntime when it is imported: this process reports to no one.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        build = f"python -m functions.ai.model_build {path.parent}"
        if not path.is_file():
            raise ModelMissing(f"{path} is not there: {build}")
        options = onnxruntime.SessionOptions()
        # The worker's threads are the parallelism; more of them inside one image would only wait for each other.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Its own arena keeps 10 MB from photo to photo and is no faster here.
        options.enable_cpu_mem_arena = False
        try:
            self.session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's have no common class
            raise ModelMissing(f"{path} can't be read, {error}: {build}") from error
        title = self.session.get_modelmeta().custom_metadata_map.get("title", "an older version's")
        if title != variant.title:
            raise ModelMissing(f"{path} is {title}, not {variant.title}: {build}")
        self._side = variant.side

    def run(self, images: Pixels) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Of [n, SIDE, SIDE, 3] views: features [n, 1280], outputs [n, 1000]."""
        # One after the other: a view's numbers fit into the core's cache, those of all do not.
        found = [self.session.run(["features", "logits"], {"image": self.fitting(image)[None]}) for image in images]
        features, logits = zip(*found, strict=True)
        return np.concatenate(features), np.concatenate(logits)

    def fitting(self, image: Pixels) -> Pixels:
        """A view of SIDE as the network takes it: [its side, its side, BANDS]."""
        photo = Image.fromarray(image)
        if self._side != len(image):
            photo = _resized(photo, self._side)
        return np.frombuffer(photo.tobytes("raw", "RGBX"), np.uint8).reshape(self._side, self._side, BANDS)


class Classifier:
    """Both networks; safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.networks = [Network(folder / variant.file, variant) for variant in VARIANTS]
        # Two images that share a core take turns inside of it, and push each other's numbers out of its cache.
        self._cores = threading.Semaphore(len(os.sched_getaffinity(0)))

    def judged(self, judge: Judge, images: Pixels) -> tuple[Judged, tuple[str, str] | None]:
        """What a photo shows by its views [SEEN, SIDE, SIDE, 3], looked at as far as it takes."""

        def see(network: int, view: int) -> Look:
            features, logits = self.networks[network].run(images[view : view + 1])
            return Look(network, features[0], logits[0])

        with self._cores:
            return stages.judged(judge, see)

    def run(self, images: Pixels) -> Seen:
        """All that both networks make of [n, SIDE, SIDE, 3] views."""
        with self._cores:
            features, logits = zip(*(network.run(images) for network in self.networks), strict=True)
        return Seen(np.stack(features), np.stack(logits))


def opened(photo: bytes) -> Image.Image:
    """An encoded photo, in RGB."""
    with Image.open(BytesIO(photo), formats=("JPEG", "PNG", "WEBP")) as image:
        # A JPEG is decoded at the smallest of 1, 1/2, 1/4, 1/8 that still holds the middle's pixels.
        scale = SIDE / MIDDLE / min(image.size)
        image.draft("RGB", (round(image.width * scale), round(image.height * scale)))
        return image.convert("RGB")


class EmbeddedPhotos:
    """The provider: loads its networks at the first photo, once a process."""

    provider = "embedded"

    def __init__(self, model_dir: Path) -> None:
        self._folder = model_dir
        self._judge = judging.read_judge()
        self.model = f"efficientnet-{MODEL}-{self._judge.name}"
        self._classifier: Classifier | None = None
        self._loading = threading.Lock()

    def classify(self, photo: bytes, spender: str = "", deadline: datetime | None = None) -> Classification:
        """Costs nothing, so no one pays.

        Raises:
            Unavailable: a file of the model is not there (yet), or of another version.
        """
        classifier, image = self._loaded(), opened(photo)
        if not shows_something(image):
            return deciding.answer([], self.provider, self.model)
        judged, item = classifier.judged(self._judge, views(image))
        return deciding.answer(
            [*judged.confidences.items()], self.provider, self.model, item, judged.least, judged.told
        )

    def _loaded(self) -> Classifier:
        with self._loading:
            if self._classifier is None:
                try:
                    self._classifier = Classifier(self._folder)
                except ModelMissing as missing:
                    # An operator's mistake does not justify failing people's photos: they wait until it is put right.
                    log.error("%s", missing)
                    raise Unavailable("classifier", retry_after=30) from missing
            return self._classifier
