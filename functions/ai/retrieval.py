"""What other services know: recycle-info's items, the only ground for rules, and location's collection centers."""

from uuid import UUID

from msgspec import Struct

from shared.calls import Calls
from shared.messages import Place

# The longest query that recycle-info's search takes.
LONGEST_QUERY = 500


class Item(Struct, frozen=True):
    """An item as recycle-info answers it; steps stand one a line. `score` is the search's, 0 to 1."""

    id: UUID
    name: str
    category: str
    score: float = 0.0
    description: str | None = None
    how_to_recycle: str | None = None
    do_not_do: str | None = None
    name_en: str | None = None
    synonyms: list[str] = []
    synonyms_en: list[str] = []
    description_en: str | None = None
    how_to_recycle_en: str | None = None
    do_not_do_en: str | None = None

    def names(self) -> list[str]:
        """Every name it is known by, in both languages."""
        return [name for name in (self.name, self.name_en, *self.synonyms, *self.synonyms_en) if name]

    def called(self, language: str) -> str:
        return (self.name_en if language == "en" else None) or self.name

    def described(self, language: str) -> str:
        return (self.description_en if language == "en" else None) or self.description or ""

    def steps(self, language: str) -> list[str]:
        return _lines((self.how_to_recycle_en if language == "en" else None) or self.how_to_recycle)

    def warnings(self, language: str) -> list[str]:
        return _lines((self.do_not_do_en if language == "en" else None) or self.do_not_do)


def _lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


class Center(Struct, frozen=True):
    """A collection center near a point."""

    name: str
    address: str
    distance_m: float
    phone: str | None = None


class _Found(Struct):
    items: list[Item]


class _Centers(Struct):
    items: list[Center]


class Neighbours:
    """The two services that are asked. Both methods raise Unavailable while theirs is away."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def search(self, query: str, limit: int = 20) -> list[Item]:
        """Items that are like a text, best first, down to resemblances: the caller reads the text itself."""
        query = " ".join(query.replace("\x00", " ").split())[:LONGEST_QUERY]
        if not query:
            return []
        params = {"q": query, "limit": limit, "floor": 0}
        return self._calls.get_blocking("api-recycle-info", "/api/v1/recycle/search", _Found, params).items

    def nearest(self, place: Place, waste_type: str | None, limit: int = 3) -> list[Center]:
        """The nearest centers, of those that take a waste type when one is given."""
        # Three decimals are about 100 m: enough to find the way, and no more than it needs.
        params: dict[str, str | float | int] = {
            "lat": round(place.latitude, 3),
            "lon": round(place.longitude, 3),
            "limit": limit,
        }
        if waste_type:
            params["item"] = waste_type
        return self._calls.get_blocking("api-location", "/api/v1/locations/centers", _Centers, params).items
