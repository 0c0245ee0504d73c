"""Other pictures of the same thing: on another ground, in another light, from another side, nearer.

TrashNet's things lie on white boards in one light. A head that was trained on them so learns the board too: with the grounds
of this file it is right about half as often again on photographs of another origin (docs/AI.md).
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

Floats = npt.NDArray[np.float64]
Chance = np.random.Generator

# A ground that can be told from the thing: share of the border that a smooth field explains, and share of the thing itself.
_BORDER = 0.35
_THING = (0.02, 0.8)


def augmented(photo: Image.Image, side: int, chance: Chance, *, ground: bool) -> npt.NDArray[np.uint8]:
    """[side, side, 3] pixels; with `ground` the thing is put on another one where it can be told from its own."""
    if ground:
        photo = on_another_ground(photo, chance)
    photo = _lit(photo, chance)
    turn = int(chance.integers(0, 4))
    if chance.random() < 0.5 and turn:
        photo = photo.rotate(90 * turn, expand=True)
    elif chance.random() < 0.3:
        photo = photo.rotate(float(chance.uniform(-30, 30)), resample=Image.Resampling.BICUBIC)
    if chance.random() < 0.5:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _part(photo, side, chance)


def elsewhere(photo: Image.Image, chance: Chance) -> Image.Image:
    """The whole photo on another ground, in another light, half of the time turned: as it might have been taken elsewhere."""
    photo = _lit(on_another_ground(photo, chance), chance)
    return photo.rotate(90 * int(chance.integers(1, 4)), expand=True) if chance.random() < 0.5 else photo


def _part(photo: Image.Image, side: int, chance: Chance) -> npt.NDArray[np.uint8]:
    width, height = photo.size
    area, aspect = chance.uniform(0.3, 1) * width * height, float(np.exp(chance.uniform(-0.35, 0.35)))
    wide, high = min(width, (area * aspect) ** 0.5), min(height, (area / aspect) ** 0.5)
    left = (width - wide) * float(np.clip(0.5 + chance.normal(0, 0.25), 0, 1))
    top = (height - high) * float(np.clip(0.5 + chance.normal(0, 0.25), 0, 1))
    box = (left, top, left + wide, top + high)
    return np.asarray(photo.resize((side, side), Image.Resampling.BICUBIC, box=box, reducing_gap=2.0))


def _lit(photo: Image.Image, chance: Chance) -> Image.Image:
    """Another exposure, cast, contrast, colour, and now and then out of focus."""
    pixels = np.asarray(photo).astype(np.float64) * np.exp(chance.normal(0, 0.22) + chance.normal(0, 0.10, 3))
    pixels = (pixels - pixels.mean()) * np.exp(chance.normal(0, 0.2)) + pixels.mean()
    photo = _picture(pixels)
    if chance.random() < 0.5:
        photo = ImageEnhance.Color(photo).enhance(float(np.exp(chance.normal(0, 0.3))))
    if chance.random() < 0.25:
        photo = photo.filter(ImageFilter.GaussianBlur(float(chance.uniform(0.5, 2))))
    return photo


def on_another_ground(photo: Image.Image, chance: Chance) -> Image.Image:
    """The thing stays; its ground is exchanged, its shadow and what is seen through it are kept as a share of the light."""
    pixels = np.asarray(photo).astype(np.float64)
    field, explained = _field(pixels)
    thing = _thing(pixels, field)[:, :, None]
    if explained < _BORDER or not _THING[0] < thing.mean() < _THING[1]:
        return photo
    light = np.clip(pixels / field, 0.3, 1.15)
    return _picture(thing * pixels + (1 - thing) * _ground(photo.size, chance) * light)


def _field(pixels: Floats) -> tuple[Floats, float]:
    """The ground as a smooth field fitted to the border, and the share of the border that it explains."""
    height, width, _ = pixels.shape
    y, x = (axis / size - 0.5 for axis, size in zip(np.mgrid[0:height, 0:width], (height, width), strict=True))
    terms = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)
    border = np.zeros((height, width), bool)
    thick = max(4, min(height, width) // 14)
    border[:thick] = border[-thick:] = border[:, :thick] = border[:, -thick:] = True
    known, wanted = terms[border], pixels[border]
    kept = np.ones(len(wanted), bool)
    for _ in range(4):
        weights = np.linalg.lstsq(known[kept], wanted[kept], rcond=None)[0]
        off = _largest(np.abs(known @ weights - wanted))
        kept = off < max(10, float(np.quantile(off, 0.6)))
    return np.clip(terms @ weights, 20, 255), float((off < 14).mean())


def _largest(colours: Floats) -> Floats:
    """Of each pixel's three values; numpy's own `max` over so short an axis takes three times as long."""
    return np.asarray(np.maximum(np.maximum(colours[..., 0], colours[..., 1]), colours[..., 2]))


def _thing(pixels: Floats, field: Floats) -> Floats:
    """How much of each pixel is the thing: 0 for the ground, little for its shadow (darker in all colours alike)."""
    sure = np.clip((_largest(np.abs(pixels - field)) - 14) / 24, 0, 1)
    light = pixels / field
    grey = (light[..., 0] + light[..., 1] + light[..., 2]) / 3
    shadow = (_largest(light) + _largest(-light) < 0.06) & (grey < 1) & (grey > 0.6)
    sure[shadow] *= 0.35
    mask = Image.fromarray((sure * 255).astype(np.uint8))
    return np.asarray(mask.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.GaussianBlur(2))) / 255.0


def _ground(size: tuple[int, int], chance: Chance) -> Floats:
    """Cloudy, grained, planked or in blocks of colour: nothing that is anything."""
    width, height = size
    base = chance.uniform(30, 235, 3)
    if chance.random() < 0.5:
        base = base.mean() + (base - base.mean()) * 0.35
    cells = (int(chance.integers(2, 9)), int(chance.integers(2, 9)))
    ground = base + _stretched(chance.normal(0, 1, cells), size)[:, :, None] * chance.uniform(0.1, 1.2)
    kind = int(chance.integers(0, 5))
    if kind in (1, 2):
        grain = int(chance.integers(1, 7))
        noise = chance.normal(0, 1, (height // grain + 1, width // grain + 1))
        ground = ground + _stretched(noise, size)[:, :, None] * chance.uniform(0.1, 0.7)
    if kind in (2, 3):
        ground = _planked(ground, chance)
    if kind == 4:
        for _ in range(int(chance.integers(2, 7))):
            x, y = int(chance.integers(0, width)), int(chance.integers(0, height))
            wide, high = int(chance.integers(width // 6, width)), int(chance.integers(height // 6, height))
            ground[y : y + high, x : x + wide] = chance.uniform(20, 240, 3)
        blurred = _picture(ground).filter(ImageFilter.GaussianBlur(float(chance.uniform(0.5, 8))))
        ground = np.asarray(blurred).astype(np.float64)
    return np.clip(ground, 0, 255)


def _planked(ground: Floats, chance: Chance) -> Floats:
    height, width, _ = ground.shape
    y, x = np.mgrid[0:height, 0:width]
    angle, period = chance.uniform(0, np.pi), chance.uniform(6, 90)
    along, across = -x * np.sin(angle) + y * np.cos(angle), x * np.cos(angle) + y * np.sin(angle)
    across = across + chance.normal(0, 8) * np.sin(along / chance.uniform(20, 90))
    ground = ground + (np.sin(2 * np.pi * across / period) * chance.uniform(4, 30))[:, :, None]
    if chance.random() < 0.5:
        ground = np.where((across % (period * 2) < 2)[:, :, None], ground * 0.6, ground)
    return ground


def _stretched(values: Floats, size: tuple[int, int]) -> Floats:
    """Values of about -3 to 3 as a picture of that size, in levels around 0."""
    small = Image.fromarray(np.clip(values * 40 + 128, 0, 255).astype(np.uint8))
    return np.asarray(small.resize(size, Image.Resampling.BICUBIC)).astype(np.float64) - 128


def _picture(pixels: Floats) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
