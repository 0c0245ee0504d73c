"""The kinds of waste of the HTTP contract, one list for every service that names one."""

from typing import Literal, get_args

WasteType = Literal[
    "paper",
    "paper_pack",
    "plastic",
    "pet_clear",
    "vinyl",
    "styrofoam",
    "glass",
    "metal",
    "clothing",
    "battery",
    "lighting",
    "electronics",
    "food",
    "bulky",
    "general",
    "unknown",
]
"""`unknown` is an honest answer of the classifier; no item and no category has it."""

WASTE_TYPES: tuple[str, ...] = get_args(WasteType)
