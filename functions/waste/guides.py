"""How to dispose of something: recycle-info's items and categories over HTTP, kept in the cache for an hour."""

from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from functions.waste.model import Guide, NamedItem
from shared.caching import Cache
from shared.calls import Calls, Missing
from shared.errors import Unavailable

T = TypeVar("T")

_KEPT = 3600
# Items that a person may want to read on.
_ITEMS = 5
_PATH = "/api/v1/recycle"


class Advice(Struct, frozen=True):
    """The guide, and the item where it is that very item's; `away`: recycle-info could not be asked."""

    guide: Guide
    item: NamedItem | None = None
    away: bool = False


class _Category(Struct):
    category: str
    how_to_recycle: str
    do_not_do: str


class _Item(_Category):
    id: UUID
    name: str


class _Id(Struct):
    id: UUID


class _Page(Struct):
    items: list[_Id]


class Guides:
    """Asks recycle-info, or the cache."""

    def __init__(self, calls: Calls, cache: Cache) -> None:
        self._calls = calls
        self._cache = cache

    async def advise(self, waste_type: str, item_id: UUID | None = None) -> Advice:
        """The item's own guide where it is of this kind of waste, else the guide of the kind.

        `state` is `missing` when recycle-info could not be asked, or knows nothing yet; `item_ids` then holds the item's id, for
        the next try.
        """
        if waste_type == "unknown":
            return Advice(Guide())
        try:
            item = await self._item(item_id) if item_id else None
            if item is not None and item.category == waste_type:
                return Advice(_guide(item, [item.id]), NamedItem(item.id, item.name))
            return Advice(await self._of_kind(waste_type))
        except Unavailable:
            return Advice(Guide(state="missing", item_ids=[item_id] if item_id else []), away=True)

    async def _item(self, item_id: UUID) -> _Item | None:
        key = f"item:{item_id}"
        if (kept := await self._kept(key, _Item)) is not None:
            return kept
        try:
            item = await self._calls.get("api-recycle-info", f"{_PATH}/items/{item_id}", _Item)
        except Missing:
            return None  # this installation's list is another one
        await self._cache.put(key, msgspec.json.encode(item), seconds=_KEPT)
        return item

    async def _of_kind(self, waste_type: str) -> Guide:
        key = f"guide:{waste_type}"
        if (kept := await self._kept(key, Guide)) is not None:
            return kept
        categories = await self._calls.get("api-recycle-info", f"{_PATH}/categories", list[_Category])
        found = next((category for category in categories if category.category == waste_type), None)
        if found is None:
            return Guide(state="missing")
        parameters: dict[str, Any] = {"category": waste_type, "limit": _ITEMS}
        page = await self._calls.get("api-recycle-info", f"{_PATH}/items", _Page, parameters)
        guide = _guide(found, [item.id for item in page.items])
        await self._cache.put(key, msgspec.json.encode(guide), seconds=_KEPT)
        return guide

    async def _kept(self, key: str, kind: type[T]) -> T | None:
        kept = await self._cache.get(key)
        return None if kept is None else msgspec.json.decode(kept, type=kind)


def _guide(rules: _Category, item_ids: list[UUID]) -> Guide:
    return Guide(steps=_lines(rules.how_to_recycle), do_not=_lines(rules.do_not_do), item_ids=item_ids)


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]
