"""The evaluation's pictures: a reliability diagram and a confusion table, as PNG, drawn with Pillow alone."""

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

_BINS = 10


def reliability(path: Path, confidence: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> None:
    """How often answers of a confidence are right; a bar's number says how many there are. On the line, they say what is."""
    side, edge = 400, 60
    image = Image.new("RGB", (side + 2 * edge, side + 2 * edge), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13)
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    for number in range(_BINS):
        chosen = bins == number
        left, bottom = edge + number * side // _BINS, edge + side
        if chosen.any():
            top = bottom - round(float(right[chosen].mean()) * side)
            draw.rectangle((left + 3, top, left + side // _BINS - 3, bottom), fill="#7fb98b")
            draw.text((left + 8, top - 17), str(int(chosen.sum())), fill="black", font=font)
        draw.text((left - 8, bottom + 6), f"{number / _BINS:.1f}", fill="black", font=font)
        draw.text((edge - 32, bottom - number * side // _BINS - 8), f"{number / _BINS:.1f}", fill="black", font=font)
    draw.line((edge, edge + side, edge + side, edge), fill="#c0392b", width=2)
    draw.rectangle((edge, edge, edge + side, edge + side), outline="black")
    draw.text((edge, 20), "share of right answers by confidence", fill="black", font=font)
    image.save(path)


def confusion(path: Path, pairs: Counter[tuple[str, str]], kinds: list[str]) -> None:
    """A row a type that is shown, a column a type that is answered; the darker, the larger the row's share."""
    cell, left, top = 62, 110, 50
    image = Image.new("RGB", (left + cell * len(kinds) + 10, top + 26 * len(kinds) + 20), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(12)
    draw.text((8, 8), "shown (rows), answered (columns)", fill="black", font=font)
    for column, kind in enumerate(kinds):
        draw.text((left + column * cell + 4, top - 18), kind[:9], fill="black", font=font)
    for line, shown in enumerate(kinds):
        total = sum(count for (one, _), count in pairs.items() if one == shown)
        draw.text((8, top + line * 26 + 5), shown, fill="black", font=font)
        for column, answered in enumerate(kinds):
            count = pairs[shown, answered]
            share = count / total if total else 0
            good = (127, 185, 139) if shown == answered else (214, 128, 116)
            colour = tuple(round(255 - (255 - part) * min(1, share * 1.3)) for part in good)
            box = (left + column * cell, top + line * 26, left + (column + 1) * cell - 2, top + line * 26 + 23)
            draw.rectangle(box, fill=colour)
            if count:
                draw.text((box[0] + 6, box[1] + 5), str(count), fill="black", font=font)
    image.save(path)
