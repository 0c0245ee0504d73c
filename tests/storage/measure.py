"""`python -m tests.storage.measure make|copy FILE CASE`: makes a largest upload of a kind, or its copies and prints the peak."""

import sys
from pathlib import Path
from typing import Any

from PIL import Image

from functions.storage.images import MAX_PIXELS, MAX_WEBP_PIXELS, make_copies
from tests.peak import peak

# Mode, pixels, and how Pillow is to write it.
CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "webp": ("RGB", MAX_WEBP_PIXELS, {"format": "WEBP", "method": 0}),
    "webp-lossless-alpha": (
        "RGBA",
        MAX_WEBP_PIXELS,
        {"format": "WEBP", "method": 0, "lossless": True, "quality": 0, "exact": True},
    ),
    "png-alpha": ("RGBA", MAX_PIXELS, {"format": "PNG", "compress_level": 1}),
    "jpeg": ("RGB", MAX_PIXELS, {"format": "JPEG"}),
    "jpeg-progressive": ("RGB", MAX_PIXELS, {"format": "JPEG", "progressive": True}),
    "jpeg-cmyk": ("CMYK", MAX_PIXELS, {"format": "JPEG"}),
}


def make(case: str) -> Image.Image:
    """4 to 3 by that many pixels, in squares: no decoder has it easy, and the file keeps below 10 MiB."""
    mode, pixels, _ = CASES[case]
    width = int((pixels * 4 / 3) ** 0.5)
    size = (width, pixels // width)
    return Image.effect_noise((width // 50, size[1] // 50), 80).convert(mode).resize(size, Image.Resampling.NEAREST)


def main() -> None:
    what, file, case = sys.argv[1:]
    if what == "make":
        make(case).save(file, **CASES[case][2])
        return
    make_copies(Path(file).read_bytes())
    sys.stdout.write(str(peak() >> 20))


if __name__ == "__main__":
    main()
