"""Pictures that show nothing, and plain ones that do."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from functions.ai.structure import shows_something
from functions.storage.images import make_copies
from tests.storage.photos import encode


def noise(spread: float, size: tuple[int, int] = (480, 640), around: float = 128.0, grain: int = 1) -> Image.Image:
    chance = np.random.default_rng(3)
    levels = np.clip(chance.normal(around, spread, (size[0] // grain, size[1] // grain, 3)), 0, 255).astype(np.uint8)
    return Image.fromarray(levels).resize((size[1], size[0]), Image.Resampling.BICUBIC)


def kept(content: bytes) -> Image.Image:
    """The thumbnail that the storage worker makes of it."""
    return Image.open(BytesIO(make_copies(content).thumbnail)).convert("RGB")


NOTHING = {
    "a covered lens": noise(6, around=8.0),
    "a white wall": noise(3, around=238.0),
    "one colour": Image.new("RGB", (640, 480), "brown"),
    "noise": noise(80),
    "noise of a small picture": noise(80, (64, 64)),
    "coarse noise": noise(80, grain=2),
    "black and white noise": noise(80).convert("1").convert("RGB"),
    "a picture of one pixel": Image.new("RGB", (1, 1), "white"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_picture_without_anything_in_it_shows_nothing(name: str) -> None:
    assert not shows_something(kept(encode(NOTHING[name])))


def test_a_plain_thing_on_a_plain_ground_is_something() -> None:
    """Paler than any of 2,100 photographs."""
    picture = noise(3, around=238.0)
    ImageDraw.Draw(picture).ellipse((250, 150, 390, 330), fill=(214, 212, 206))
    assert shows_something(kept(encode(picture.filter(ImageFilter.GaussianBlur(3)))))


@pytest.mark.parametrize("name", ["gravel.png", "grass.png", "brick.png", "text.png", "page.png", "moon.png"])
def test_fine_grained_photographs_are_something(name: str) -> None:
    import skimage

    assert shows_something(kept((Path(skimage.__file__).parent / "data" / name).read_bytes()))
