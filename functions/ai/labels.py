"""ImageNet's classes as the waste types of the HTTP contract and as recycle-info's items, chosen by hand.

A class is in `imagenet.csv` when most things of its kind end up in one Korean collection; it names an item (by its slug)
where it is that very thing. The other classes (animals, vehicles, places, and things that go different ways by their
material) are not listed: probability that falls on them counts for no type, and so speaks for `unknown`. ImageNet has no drink
can, milk pack, styrofoam or battery.
"""

import csv
from pathlib import Path

from msgspec import Struct

from shared.waste_types import WASTE_TYPES

CLASSES = 1000
"""Outputs of the network: ImageNet's classes of 2012, in their usual order."""

TYPES: tuple[str, ...] = tuple(kind for kind in WASTE_TYPES if kind != "unknown")
"""What an answer can be, in the order of every array of probabilities."""


class Label(Struct, frozen=True):
    """One class: its index in the network's outputs, its usual name, its waste type, and an item's slug or nothing."""

    index: int
    name: str
    waste_type: str
    item: str


def read_labels() -> tuple[Label, ...]:
    """The rows of `imagenet.csv`."""
    with Path(__file__).with_name("imagenet.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Label(int(row["index"]), row["class"], row["waste_type"], row["item"]) for row in csv.DictReader(file)
        )


def read_items() -> dict[str, str]:
    """The items that a photo can show: waste type by slug (`photo_items.csv`)."""
    with Path(__file__).with_name("photo_items.csv").open(encoding="utf-8", newline="") as file:
        return {row["item"]: row["waste_type"] for row in csv.DictReader(file)}
