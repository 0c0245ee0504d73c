"""The variants of EfficientNet-Lite that look at a photo, and the revision of the files that hold them."""

from msgspec import Struct

FEATURES = 1280
"""Pooled features of every variant."""

BANDS = 4
"""Bytes of a pixel that goes in: red, green, blue, and one that counts nothing. What the first layer looks at is gathered in half
the time in words of four bytes."""

REVISION = 5
"""Raised when the graph that is built changes: a file of another one is built anew, and is not served."""


class Variant(Struct, frozen=True):
    """A size of the network, and the pixels of its input's side: those that it was trained on."""

    name: str
    side: int

    @property
    def file(self) -> str:
        return f"{self.name}.onnx"

    @property
    def title(self) -> str:
        """What its file says that it is."""
        return f"{self.name} of revision {REVISION}"


VARIANTS = (Variant("lite2", 260), Variant("lite1", 240))
"""In the order of every array over networks; chosen by the tables of docs/EVALUATION.md."""

SIDE = VARIANTS[0].side
"""Pixels of a view's side; the smaller network's are made from it."""

MODEL = "-".join(variant.name for variant in VARIANTS)
"""What answers are told to come from."""
