"""Whether a picture shows anything at all: a covered lens, a bare wall or noise is no photo of a thing.

The networks call noise paper or general waste, and are nearly sure of it: no picture that they were trained on is like that.
"""

import numpy as np
from PIL import Image

# Deviation, in levels of 256, of the averages of cells from each other: under it the picture is one colour. Of 2,100 photographs
# the plainest, a shrimp on white, has 11. And how much of all pixels' deviation that is: noise averages out to a tenth or two,
# grass keeps 0.41 of it, and no photograph of a thing less than 0.45.
_CELL = 10
_PLAIN = 4.0
_NOISE = 0.3
_LEVELS = np.arange(256)


def shows_something(photo: Image.Image) -> bool:
    """Of an RGB picture in whatever size."""
    coarse = _variance(photo.reduce(_CELL))
    return coarse >= _PLAIN**2 and coarse >= _NOISE**2 * _variance(photo)


def _variance(photo: Image.Image) -> float:
    """Of all pixels, summed over the three bands; by their histograms, which Pillow counts faster than numpy sums."""
    counts = np.array(photo.histogram(), np.float64).reshape(3, 256) / (photo.width * photo.height)
    return float((counts @ _LEVELS**2 - (counts @ _LEVELS) ** 2).sum())
