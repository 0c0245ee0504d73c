"""Linear classifiers of what a text holds: numbers in hundredths, which `tests.eval.linear` trains."""

import math
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

HUNDREDTHS = 100


class LinearFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What made a classifier, and its numbers in hundredths: what each thing that a text may hold speaks for."""

    revision: int
    command: str
    data_sha256: str
    bias: int
    weights: dict[str, int]

    def odds(self, found: Collection[str]) -> float:
        """The logarithm of the odds that its answer is yes. As in training, a text counts alike however much it holds."""
        return (sum(self.weights.get(one, 0) for one in found) / math.sqrt(len(found)) + self.bias) / HUNDREDTHS


@lru_cache(maxsize=8)
def read(path: Path) -> LinearFile:
    """A classifier's file; kept, since each question may ask it."""
    return msgspec.json.decode(path.read_bytes(), type=LinearFile)
