"""Photographs for benchmarks, because how long one is looked at depends on what it shows.

Those of waste that the head is trained on, where they are: as many of each type, in one order. The head knows them, so of these
0.79 end after two looks, and of others 0.65 (docs/EVALUATION.md). Elsewhere a drawn picture, each time of another height.
"""

import random
from collections import defaultdict
from io import BytesIO
from itertools import chain, islice, zip_longest
from pathlib import Path

from PIL import Image, ImageOps

from tests import support
from tests.eval import training

KIND = "photographs of waste, which the head knows" if training.SHARED.is_dir() else "drawn pictures"
"""What a row's note says of them."""
_QUALITY = 85


def pictures(count: int, size: tuple[int, int], first: int = 0, folder: Path = training.SHARED) -> list[bytes]:
    """So many JPEGs of that width and height, from the one with that number on; no two are the same."""
    if not folder.is_dir():
        return [support.photo(size[0], size[1] - n, quality=_QUALITY) for n in range(first, first + count)]
    return [_fitted(folder / file, size) for file in islice(mixed(folder), first, first + count)]


def mixed(folder: Path) -> list[str]:
    """All files, one of each type in turn until a type has no more."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for photo in training.manifest(folder):
        kinds[photo.waste_type].append(photo.file)
    chance = random.Random(training.SEED)
    shuffled = [chance.sample(kinds[kind], len(kinds[kind])) for kind in sorted(kinds)]
    return [file for file in chain(*zip_longest(*shuffled)) if file]


def _fitted(file: Path, size: tuple[int, int]) -> bytes:
    target = BytesIO()
    with Image.open(file) as image:
        ImageOps.fit(image.convert("RGB"), size, Image.Resampling.BICUBIC).save(target, "JPEG", quality=_QUALITY)
    return target.getvalue()
