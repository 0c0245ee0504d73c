"""What the networks see, judged: two opinions joined into confidences by waste type, and the item.

The *map* sums ImageNet's chances by type (`imagenet.csv`): it knows tools, food, furniture, clothes. The *head*, a small
linear classifier on each network's pooled features (`head.json`, trained by `python -m tests.eval.head`), knows what ImageNet
has no class for: cans, jars, bags, boxes, crushed bottles. It also has a class of its own for what is none of these. The more
the map is sure of something, the less the head is asked. Every look counts alike.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from functions.ai.labels import CLASSES, TYPES, read_labels

HEAD = Path(__file__).with_name("head.json")
OTHER = "other"
ITEM = 0.5
"""Least probability of the classes of one item for the answer to name it."""

# What is told: sharpened so much, and held under 0.8 as long as one in twenty is wrong.
_TOLD = 2.0
_HELD = ((0, 0.75, 0.98, 1), (0, 0.75, 0.8, 1))

Floats = npt.NDArray[np.float64]
Given = npt.NDArray[np.float32]

_LABELS = read_labels()
# One row a waste type, 1 at its classes: probabilities by type are one product. Likewise for items.
_MEMBERS = np.zeros((len(TYPES), CLASSES))
for _label in _LABELS:
    _MEMBERS[TYPES.index(_label.waste_type), _label.index] = 1
_ITEMS = {label.item: label.waste_type for label in _LABELS if label.item}
_OF_ITEM = np.zeros((len(_ITEMS), CLASSES))
for _label in _LABELS:
    if _label.item:
        _OF_ITEM[list(_ITEMS).index(_label.item), _label.index] = 1


class HeadFile(Struct, frozen=True, forbid_unknown_fields=True):
    """`head.json`: what made it, and of each network its numbers in thousandths, a row of weights a class."""

    revision: int
    command: str
    data_sha256: str
    seed: int
    networks: list[str]
    classes: list[str]
    bias: list[list[int]]
    weights: list[list[list[int]]]


class Joining(Struct, frozen=True):
    """How the two opinions are joined; chosen among some thousands that were tried, docs/EVALUATION.md says on what.

    The head's share of the answer falls, along a logistic curve from `most` at `start`, with what speaks against it: its own
    doubt, and the map's chance of a type that the head does not know, of nothing to throw away, and of one of the head's.
    """

    temperature: float = 0.9
    most: float = 0.85
    start: float = 2.5
    doubt: float = 1.3
    foreign: float = 9.5
    nothing: float = 10.0
    own: float = 9.0
    agreement: float = 0.1
    """How much the map's opinion weighs among the head's types."""
    sharpness: float = 0.95
    maps: tuple[float, ...] = (2.0, 1.0)
    """How much each network's map counts: the larger one knows ImageNet's classes better."""


class Look(Struct, frozen=True):
    """What one network makes of one view of a photo: its features [1280] and ImageNet's outputs [1000]."""

    network: int
    features: Given
    logits: Given


class Judged(Struct, frozen=True):
    """By type of `labels.TYPES`: the confidence, that of the look which is least sure of it, and what is told.

    What the confidences lack to 1 is that of nothing to throw away. The answer is decided by them; they are too modest to be
    told to a person.
    """

    confidences: dict[str, float]
    least: dict[str, float]
    told: dict[str, float]


class Judge:
    """The two opinions and their joining."""

    def __init__(self, head: HeadFile, joining: Joining | None = None) -> None:
        self.head = head
        self.name = f"waste{head.revision}"
        self.joining = joining or Joining()
        # [networks, features, classes] and [networks, classes]
        self._weights = np.array(head.weights, np.float64).transpose(0, 2, 1) / 1000
        self._bias = np.array(head.bias, np.float64) / 1000
        # Cardboard is paper.
        kinds = ["paper" if name == "cardboard" else name for name in head.classes]
        self._own = [TYPES.index(kind) for kind in dict.fromkeys(kinds) if kind != OTHER]
        self._merge = np.array([[kind == TYPES[own] for own in self._own] for kind in kinds], np.float64)
        self._other = kinds.index(OTHER)

    def types(self, looks: Sequence[Look]) -> Judged:
        """What one photo shows, by some looks at it."""
        scores = np.stack([one.features @ self._weights[one.network] + self._bias[one.network] for one in looks])
        mapped = by_type(np.stack([one.logits for one in looks]), self.joining.temperature)
        of_all = np.average(mapped, axis=0, weights=[self.joining.maps[one.network] for one in looks])
        # All looks together first, then each alone.
        joined = self.join(np.stack([scores.mean(axis=0), *scores]), np.stack([of_all, *mapped]))
        found = (joined[0], joined[1:].min(axis=0), told(joined[:1])[0])
        return Judged(*(dict(zip(TYPES, one.tolist(), strict=True)) for one in found))

    def join(self, scores: Floats, mapped: Floats) -> Floats:
        """Chances [n, types] of the two opinions: the head's scores [n, classes] and the map's chances [n, types]."""
        by = self.joining
        found = _softmax(scores)
        doubt, own = found[:, self._other], found @ self._merge
        own /= own.sum(axis=1, keepdims=True)
        nothing = 1 - mapped.sum(axis=1)
        known = mapped[:, self._own]
        foreign = np.delete(mapped, self._own, axis=1).max(axis=1)
        against = by.foreign * foreign + by.nothing * nothing + by.own * known.max(axis=1)
        share = by.most / (1 + np.exp(against + by.doubt * np.log((doubt + 0.01) / (1.01 - doubt)) - by.start))
        agreed = own * ((known + 0.05) / (known + 0.05).sum(axis=1, keepdims=True)) ** by.agreement
        joined = np.concatenate([mapped, nothing[:, None]], axis=1) * (1 - share)[:, None]
        joined[:, self._own] += agreed / agreed.sum(axis=1, keepdims=True) * share[:, None]
        return _sharpened(joined, by.sharpness)[:, :-1]


def told(confidences: Floats) -> Floats:
    """Of confidences [n, types], in the same order, those that say how often such an answer is right (docs/EVALUATION.md)."""
    nothing = 1 - confidences.sum(axis=1, keepdims=True)
    sharp = _sharpened(np.concatenate([confidences, nothing], axis=1), _TOLD)[:, :-1]
    return np.interp(sharp, *_HELD)


def _sharpened(chances: Floats, power: float) -> Floats:
    sharp = np.maximum(chances, 0) ** power
    return np.asarray(sharp / sharp.sum(axis=1, keepdims=True))


def by_type(logits: Given, temperature: float) -> Floats:
    """The map's chances [..., types] of ImageNet's outputs [..., 1000]; what is missing to 1 belongs to no type."""
    return np.asarray(_softmax(logits / temperature) @ _MEMBERS.T)


def item(looks: Sequence[Look]) -> tuple[str, str] | None:
    """Slug and waste type of the item that these looks show surely enough."""
    chances = (_softmax(np.stack([one.logits for one in looks])) @ _OF_ITEM.T).mean(axis=0)
    best = int(chances.argmax())
    return list(_ITEMS.items())[best] if chances[best] >= ITEM else None


def _softmax(logits: npt.NDArray[np.floating]) -> Floats:
    scaled = logits.astype(np.float64)
    chances = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=-1, keepdims=True))


def read_judge(path: Path = HEAD) -> Judge:
    """The judge of the head that ships with the code."""
    return Judge(msgspec.json.decode(path.read_bytes(), type=HeadFile))
