"""Where a question about the nearest collection center starts from: the person's default place.

The handler fetches it because it has the person's own token; a worker never holds one. It is fetched only for questions
that seem to be about a way: an address is nobody's business in a question about milk cartons.
"""

import asyncio
import re
from collections.abc import Iterable

from msgspec import Struct

from shared.calls import Calls
from shared.errors import Unavailable
from shared.messages import Place

# Seconds in all: the person is waiting for the 202.
PATIENCE = 1.0
_WAY = re.compile(
    r"근처|근방|가까|주변|인근|동네|어디|어딨|위치|장소|거리|찾아|수거|거점|센터|회수|자판기|매장|가게|갈\s*수|우리\s*집|집\s*앞"
    r"|\b(near|nearby|nearest|clos(e|est|er)|around|where|cent(er|re)s?|locations?|place|spot|points?|stations?"
    r"|drop[- ]?off|area|neighbou?rhood|distance|far|collection|address)\b",
    re.IGNORECASE,
)


class _Place(Struct):
    name: str
    latitude: float | None
    longitude: float | None
    is_default: bool


class _Places(Struct):
    items: list[_Place]
    next_cursor: str | None = None


def may_ask_the_way(texts: Iterable[str]) -> bool:
    """Whether one of the texts may ask where something is: too often rather than too seldom, for the ai worker decides."""
    return any(_WAY.search(text) for text in texts)


async def default_place(calls: Calls, token: str) -> Place | None:
    """The person's default place; None without one that has coordinates.

    Raises:
        Unavailable: api-location is away or slow.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            params: dict[str, str | int] = {"limit": 100}
            while True:
                found = await calls.get("api-location", "/api/v1/locations/me", _Places, params, token)
                for place in found.items:
                    if place.is_default and place.latitude is not None and place.longitude is not None:
                        return Place(place.name, place.latitude, place.longitude)
                if found.next_cursor is None:
                    return None
                params["cursor"] = found.next_cursor
    except TimeoutError:
        raise Unavailable("api-location") from None
