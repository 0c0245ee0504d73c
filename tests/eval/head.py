"""Trains the head: `python -m tests.eval.head` writes functions/ai/head.json from the photographs of `training.py`.

The mean of two linear classifiers that are wrong about different photographs. Linear discriminant analysis looks at the shape
of the classes: each is a mean, all share one covariance, in which every class counts alike; three tenths of it are replaced
by its average, so that what is known of few photographs weighs little. Logistic regression (`logistic.py`) looks at the bounds
between them. One is the solution of linear equations, the other the one minimum of its loss: no chance. With the same
photographs the same file comes out on the same kind of processor with as many threads. Else exponentials and sums may differ in
their last bits, a pixel of an augmented picture by a level, and a weight by a rounding step; `--check` allows for that and
nothing more.
"""

import argparse
import sys
from collections.abc import Container
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from functions.ai.judging import HEAD, OTHER, HeadFile, read_judge
from functions.ai.variants import FEATURES, VARIANTS
from tests.eval import logistic, photographs, training

CLASSES = ("paper", "cardboard", "plastic", "pet_clear", "vinyl", "glass", "metal", "general", OTHER)
"""Cardboard is paper, but looks like nothing else that is."""
SHRINKAGE = 0.3
TEMPERATURE = 3.0
BOUNDED = 0.7
"""The regression's share. All three were chosen with each source left out once: docs/EVALUATION.md."""
ROUNDING = 1000
# The bias of a class without photographs.
_NEVER = -1000.0

Floats = npt.NDArray[np.float64]


def class_of(waste_type: str, file: str = "") -> str:
    """The head's class for a type: what it does not know is left to ImageNet's classes."""
    if "cardboard" in Path(file).name:
        return "cardboard"
    return waste_type if waste_type in CLASSES else OTHER


def examples(without: str = "", hidden: Container[int] = ()) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int64]]:
    """Features [networks, n, 1280] and classes [n] of every view of every photograph for training.

    Without those of one source, and without those of the manifest's rows `hidden`.

    The scenes' electronics are cables and pill packs on one yard's ground: they would teach the yard, and are left out.
    """
    photos = training.manifest()
    found = training.of_waste()
    used = [
        n for n, p in enumerate(photos) if p.source != without and p.waste_type != "electronics" and n not in hidden
    ]
    classes = [CLASSES.index(class_of(photos[n].finer, photos[n].file)) for n in used]
    others, seen = training.of_others()
    held = photographs.held_out(photographs.labels())
    # Only what the head does not know: its own types from other places made it worse on waste.
    tuned = [n for n, photo in enumerate(others) if photo.name not in held and class_of(photo.waste_type) == OTHER]
    classes_of_others = [CLASSES.index(OTHER)] * len(tuned)
    return (
        np.concatenate([_by_network(found.features[used]), _by_network(seen.features[tuned])], axis=1),
        np.concatenate(
            [
                np.repeat(classes, found.features.shape[2]),
                np.repeat(classes_of_others, seen.features.shape[2]).astype(np.int64),
            ]
        ),
    )


def _by_network(features: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
    """[networks, photos x views, 1280] of [photos, networks, views, 1280]."""
    return features.transpose(1, 0, 2, 3).reshape(len(VARIANTS), -1, FEATURES)


def train_each(features: npt.NDArray[np.float16], classes: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Weights [networks, 1280, classes] and biases [networks, classes] for features [networks, n, 1280]."""
    weights, bias = zip(*(train(one.astype(np.float64), classes) for one in features), strict=True)
    return np.stack(weights), np.stack(bias)


def train(features: Floats, classes: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Weights [1280, classes] and biases [classes]: their sum over a photo's features is the logarithm of each class's chance."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 0.01
    scaled = (features - mean) / spread
    there = [n for n in range(len(CLASSES)) if (classes == n).any()]
    shaped = discriminant(scaled, classes, there)
    bounded = logistic.fit(scaled, classes, len(CLASSES))
    weights, bias = (
        (1 - BOUNDED) * one / TEMPERATURE + BOUNDED * other for one, other in zip(shaped, bounded, strict=True)
    )
    weights /= spread[:, None]
    bias -= mean @ weights
    bias[[n for n in range(len(CLASSES)) if n not in there]] = _NEVER
    return weights, bias


def discriminant(scaled: Floats, classes: npt.NDArray[np.int64], there: list[int]) -> tuple[Floats, Floats]:
    """Weights [1280, classes] and biases [classes] of the linear discriminant analysis of classes that are `there`."""
    size = scaled.shape[1]
    centres = np.zeros((len(CLASSES), size))
    for n in there:
        centres[n] = scaled[classes == n].mean(axis=0)
    within = sum(np.cov(scaled[classes == n], rowvar=False, bias=True) for n in there) / len(there)
    shrunk = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / size * np.eye(size)
    weights = np.linalg.solve(shrunk, centres.T)
    return weights, -0.5 * (centres.T * weights).sum(axis=0)


def head_file(weights: Floats, bias: Floats) -> HeadFile:
    """As the file holds the weights and biases of each network: numbers in thousandths."""
    return HeadFile(
        revision=5,
        command="python -m tests.eval.head",
        data_sha256=training.data_hash(),
        seed=training.SEED,
        networks=[variant.name for variant in VARIANTS],
        classes=list(CLASSES),
        bias=np.rint(bias * ROUNDING).astype(int).tolist(),
        weights=np.rint(weights.transpose(0, 2, 1) * ROUNDING).astype(int).tolist(),
    )


def head() -> HeadFile:
    """The head of all photographs for training."""
    return head_file(*train_each(*examples()))


def differs(one: HeadFile, other: HeadFile) -> str:
    """What two heads differ in by more than a rounding step, or nothing."""
    for name in ("command", "data_sha256", "seed", "networks", "classes"):
        if getattr(one, name) != getattr(other, name):
            return f"{name}: {getattr(one, name)} and {getattr(other, name)}"
    off = max(
        int(np.abs(np.subtract(one.weights, other.weights)).max()),
        # A bias is the sum over 1280 means.
        int(np.abs(np.subtract(one.bias, other.bias)).max()) // 30,
    )
    return f"a number by {off} thousandths" if off > 1 else ""


def write(found: HeadFile, path: Path) -> None:
    """One class a line."""
    text = msgspec.json.encode(found).decode()
    path.write_text(text.replace(',"', ',\n"').replace("],[", "],\n[").replace("[[", "[\n[") + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.eval.head", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the head that is there, and write nothing")
    options = parser.parse_args()
    found = head()
    if not options.check:
        write(found, HEAD)
        training.SAMPLE.write_bytes(msgspec.json.encode(training.sample()) + b"\n")
        print(f"{HEAD.relative_to(training.ROOT)}: {len(CLASSES)} classes of {FEATURES} weights for {found.networks}")
        return 0
    wrong = differs(found, read_judge().head)
    print(wrong or "the same head")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
