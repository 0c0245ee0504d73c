"""The photographs that the head is trained on, and what the networks make of them.

Two kinds: `../shared/data/photos` (waste, by its MANIFEST.csv, with finer types in `finer.csv`), and the tuning part of
`photos.csv` (tools, food, furniture, animals: what the head is to leave to ImageNet's classes). Features take minutes of
processor time and are kept in `build/`, under the hash of all that they come from.
"""

import csv
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from PIL import Image

from functions.ai import embedded, model_build, network, variants
from functions.ai.embedded import Classifier, Pixels
from functions.ai.variants import SIDE
from functions.storage import images
from functions.storage.images import make_copies
from tests.eval import augmenting, photographs
from tests.eval.augmenting import augmented

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "photos"
FINER = Path(__file__).with_name("finer.csv")
SEED = 7
GROUNDS = 3
"""Pictures of each photograph on another ground, beside one on its own."""
CLOSER = 0.62
"""Share of the shorter side that a third view shows, for training alone."""
_SMALL = 340
# Grounds and lights that no training has seen.
_UNTRAINED = 99


class Waste(Struct, frozen=True):
    """A photograph of the manifest: its file, the manifest's type, ours, the others that are right too, and its source."""

    file: str
    waste_type: str
    finer: str
    also: frozenset[str]
    source: str

    @property
    def right(self) -> frozenset[str]:
        """Every type that is a right answer."""
        return self.also | {self.waste_type, self.finer}


class Features(Struct, frozen=True):
    """Features [photos, networks, views, 1280], ImageNet's outputs [photos, networks, views, 1000]; served views come first.

    Features are kept in half precision: that halves the files, and the head's rounding is coarser.
    """

    features: npt.NDArray[np.float16]
    logits: npt.NDArray[np.float32]


def manifest(folder: Path = SHARED) -> list[Waste]:
    """The photographs of waste, in the manifest's order."""
    with FINER.open(encoding="utf-8", newline="") as file:
        finer = {row["file"]: row["waste_type"] for row in csv.DictReader(file)}
    with (folder / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        return [
            Waste(
                row["file"],
                row["waste_type"],
                finer.get(row["file"], row["waste_type"]),
                frozenset(filter(None, row["also_right"].split("|"))),
                Path(row["file"]).name.partition("-")[0],
            )
            for row in csv.DictReader(file)
        ]


@cache
def data_hash(folder: Path = SHARED) -> str:
    """SHA-256 over all photographs and what is said of them."""
    found = hashlib.sha256(FINER.read_bytes() + photographs.LABELS.read_bytes())
    found.update((folder / "MANIFEST.csv").read_bytes())
    for photo in manifest(folder):
        found.update((folder / photo.file).read_bytes())
    for content in photographs.contents(photographs.labels()):
        found.update(content)
    return found.hexdigest()


def _views(photo: Image.Image) -> Iterator[Pixels]:
    """As served, and closer."""
    yield from embedded.views(photo)
    yield embedded.middle(photo, CLOSER)


def _views_of_waste(content: bytes, number: int) -> Iterator[Pixels]:
    """Four augmented ones too."""
    photo = Image.open(BytesIO(make_copies(content).thumbnail)).convert("RGB")
    yield from _views(photo)
    chance = np.random.default_rng([SEED, number])
    photo.thumbnail((_SMALL, _SMALL))
    for index in range(1 + GROUNDS):
        yield augmented(photo, SIDE, chance, ground=index > 0)


def of_waste(folder: Path = SHARED) -> Features:
    """All photographs of the manifest, 7 views each."""
    photos = manifest(folder)
    return _kept(
        "waste",
        ([*_views_of_waste((folder / photo.file).read_bytes(), n)] for n, photo in enumerate(photos)),
        len(photos),
    )


def of_grounds(folder: Path = SHARED) -> tuple[list[int], Features]:
    """Every second photograph of TrashNet `elsewhere`: their rows in the manifest, and the served views of each.

    Not those with even numbers: by these, elsewhere too, the rule of the answer was chosen (docs/EVALUATION.md).
    """
    photos = manifest(folder)
    rows = [n for n, photo in enumerate(photos) if n % 2 == 1 and photo.source == "trashnet"]
    return rows, _kept(
        "odd-grounds",
        ([*_on_a_ground((folder / photos[n].file).read_bytes(), n)] for n in rows),
        len(rows),
    )


def _on_a_ground(content: bytes, number: int) -> Pixels:
    photo = Image.open(BytesIO(make_copies(content).thumbnail)).convert("RGB")
    return embedded.views(augmenting.elsewhere(photo, np.random.default_rng([_UNTRAINED, number])))


SAMPLE = Path(__file__).with_name("head_sample.json")
EVERY = 160
"""One photograph of so many is looked at by `sample`: seconds, where all of them take a quarter of an hour."""
_KEPT = 16


def sample(folder: Path = SHARED) -> dict[str, list[list[list[int]]]]:
    """Some photographs as training sees them: by file, of each network and view the first features in thousandths."""
    classifier, photos = _classifier(), manifest(folder)
    found = {}
    for number in range(0, len(photos), EVERY):
        content = (folder / photos[number].file).read_bytes()
        seen = classifier.run(np.stack([*_views_of_waste(content, number)]))
        found[photos[number].file] = np.rint(seen.features[..., :_KEPT] * 1000).astype(int).tolist()
    return found


def of_others() -> tuple[list[photographs.Photo], Features]:
    """All pictures of `photos.csv`, 3 views each; a cut-out is shown on white and on one of the textures."""
    shown = [photo for photo in photographs.labels() for _ in range(2 if photo.source == "tuxpaint" else 1)]
    return shown, _kept(
        "others",
        ([*_views(Image.open(BytesIO(web)).convert("RGB"))] for _, web in photographs.pictures()),
        len(shown),
    )


@cache
def _classifier() -> Classifier:
    folder = ROOT / "build" / "model"
    model_build.write(folder)
    return Classifier(folder)


def is_kept() -> bool:
    """Whether the features of both kinds are in `build/`."""
    # Without a look at the photographs, where there are none at all.
    some = any((ROOT / "build").glob("features-waste-*.npz"))
    return some and all(_path(name).is_file() for name in ("waste", "others"))


def _path(name: str) -> Path:
    return ROOT / "build" / f"features-{name}-{_key()}.npz"


def _kept(name: str, views: Iterator[list[Pixels]], count: int) -> Features:
    path = _path(name)
    if path.is_file():
        with np.load(path) as kept:
            return Features(kept["features"], kept["logits"])
    found = []
    for number, one in enumerate(views):
        found.append(_classifier().run(np.stack(one)))
        if number % 100 == 99:
            print(f"{name}: {number + 1} of {count}", file=sys.stderr, flush=True)
    features = Features(
        np.stack([seen.features.astype(np.float16) for seen in found]), np.stack([seen.logits for seen in found])
    )
    path.parent.mkdir(exist_ok=True)
    np.savez(path, features=features.features, logits=features.logits)
    return features


@cache
def _key() -> str:
    """What features come from: the photographs, their thumbnails, the views and the networks."""
    found = hashlib.sha256(f"{data_hash()} {SEED} {GROUNDS} {_SMALL} {embedded.MIDDLE} {CLOSER}".encode())
    for module in (augmenting, images, network, photographs, variants):
        found.update(Path(str(module.__file__)).read_bytes())
    return found.hexdigest()[:12]
