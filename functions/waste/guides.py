"""How to dispose of a kind of waste: recycle-info's items over HTTP, kept in the cache for an hour."""

from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from functions.waste.model import Guide
from shared import caching
from shared.calls import calls
from shared.errors import Unavailable

# The general rules of a category stand in the item whose slug is the category itself; the rest are examples of it.
_ITEMS = 3
_KEPT = 3600


class Item(Struct):
    """What is used of one of recycle-info's items."""

    id: UUID
    name: str
    how_to_recycle: str | None = None
    do_not_do: str | None = None


class Items(Struct):
    """A page of recycle-info's list."""

    items: list[Item]


async def guide_for(waste_type: str) -> Guide:
    """The steps for a kind of waste; `state` is `missing` when recycle-info could not be asked."""
    if waste_type == "unknown":
        return Guide()
    key = f"guide:{waste_type}"
    if (kept := await caching.get(key)) is not None:
        return msgspec.json.decode(kept, type=Guide)
    parameters: dict[str, Any] = {"category": waste_type, "limit": _ITEMS}
    try:
        found = await calls().get("api-recycle-info", "/api/v1/recycle/items", Items, parameters)
    except Unavailable:
        return Guide(state="missing")
    guide = Guide(
        steps=_lines(item.how_to_recycle for item in found.items),
        do_not=_lines(item.do_not_do for item in found.items),
        item_ids=[item.id for item in found.items],
    )
    await caching.put(key, msgspec.json.encode(guide), seconds=_KEPT)
    return guide


def _lines(texts: Any) -> list[str]:
    lines = (line.strip() for text in texts if text for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line))
