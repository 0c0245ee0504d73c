"""How to dispose of a kind of waste: recycle-info's items over HTTP, kept in the cache for an hour."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from functions.waste.model import Guide
from shared import caching
from shared.calls import calls
from shared.errors import Unavailable

_KEPT = 3600
# Items that a person may want to read on.
_ITEMS = 5


class Category(Struct):
    """What is used of one of recycle-info's categories: a rule a line."""

    category: str
    how_to_recycle: str
    do_not_do: str


class Item(Struct):
    """What is used of one of its items."""

    id: UUID


class Items(Struct):
    """A page of its list."""

    items: list[Item]


async def guide_for(waste_type: str) -> Guide:
    """The steps for a kind of waste; `state` is `missing` when recycle-info could not be asked, or knows nothing yet."""
    if waste_type == "unknown":
        return Guide()
    key = f"guide:{waste_type}"
    if (kept := await caching.get(key)) is not None:
        return msgspec.json.decode(kept, type=Guide)
    try:
        categories = await calls().get("api-recycle-info", "/api/v1/recycle/categories", list[Category])
        found = next((category for category in categories if category.category == waste_type), None)
        parameters: dict[str, Any] = {"category": waste_type, "limit": _ITEMS}
        items = await calls().get("api-recycle-info", "/api/v1/recycle/items", Items, parameters)
    except Unavailable:
        return Guide(state="missing")
    if found is None:
        return Guide(state="missing")
    guide = Guide(
        steps=_lines(found.how_to_recycle),
        do_not=_lines(found.do_not_do),
        item_ids=[item.id for item in items.items],
    )
    await caching.put(key, msgspec.json.encode(guide), seconds=_KEPT)
    return guide


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]
