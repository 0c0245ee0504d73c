"""The kinds of waste of the HTTP contract, one list for every service that names one."""

from typing import Annotated, Literal, get_args

from msgspec import Meta

_Recycled = Literal["paper", "paper_pack", "plastic", "pet_clear", "vinyl", "styrofoam", "glass", "metal"]
_Types = Literal[
    _Recycled,
    "clothing",
    "battery",
    "lighting",
    "electronics",
    "food",
    "bulky",
    "general",
    "unknown",
]
WasteType = Annotated[
    _Types,
    Meta(
        title="WasteType", description="A kind of waste. `unknown` is an honest answer; no item and no category has it."
    ),
]

WASTE_TYPES: tuple[str, ...] = get_args(_Types)
RECYCLED = frozenset(get_args(_Recycled))
"""Those that a household sorts for the collection of recyclables."""
