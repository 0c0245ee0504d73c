"""Where a question about the nearest collection center starts from, and whose rules hold there: the person's default place.

The handler fetches it because it has the person's own token; a worker never holds one. It is fetched only for questions
that seem to be about a route, or about what each municipality decides: an address is no one's business in a question about
milk cartons, and of the address only the municipality's name goes on.
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
    r"|drop[- ]?off|area|neighbou?rhood|distance|far|collection|address)\b"
    # What the municipality decides: fees, bags, fines, days.
    r"|가격|얼마|비용|수수료|요금|벌금|과태료|요일|수거일|배출일|며칠|몇\s*시|언제|스티커|종량제|쓰레기\s*봉투"
    r"|\b(price|cost|how much|fees?|fines?|penalty|days?|when|time|sticker|trash bags?)\b",
    re.IGNORECASE,
)
# The district, city or county of an address; a district says more than its city.
_MUNICIPALITY = re.compile(r"(?<![가-힣])([가-힣]{1,4}구|[가-힣]{1,4}[시군])(?=\s|$)")


class _Place(Struct):
    name: str
    address: str
    latitude: float | None
    longitude: float | None
    is_default: bool


class _Places(Struct):
    items: list[_Place]
    next_cursor: str | None = None


def may_ask_the_way(texts: Iterable[str]) -> bool:
    """Whether one of the texts may ask where something is: too often rather than too seldom, because the ai worker decides."""
    return any(_WAY.search(text) for text in texts)


def municipality(address: str) -> str:
    """Who is asked about fees and days there: 마포구 of "서울 마포구 …", 춘천시 of "강원 춘천시 …"; "" where none is named.

    A city with districts that are not municipalities of their own ("수원시 팔달구") is asked by its own name.
    """
    found: list[str] = _MUNICIPALITY.findall(address)
    cities = [name for name in found if name.endswith(("시", "군")) and not name.endswith(("특별시", "광역시"))]
    return next(iter(cities or [name for name in found if name.endswith("구")]), "")


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
                        return Place(place.name, place.latitude, place.longitude, municipality(place.address))
                if found.next_cursor is None:
                    return None
                params["cursor"] = found.next_cursor
    except TimeoutError:
        raise Unavailable("api-location") from None
