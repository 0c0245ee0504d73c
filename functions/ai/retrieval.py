"""What other services know: recycle-info's items, the only ground for rules, and location's collection centers."""

from uuid import UUID

from msgspec import Struct

from shared.calls import Calls
from shared.messages import Place

# The longest query that recycle-info's search takes.
LONGEST_QUERY = 500
# The search score of a name that surely is the item's.
_SURE = 0.9


class Rules(Struct, frozen=True, kw_only=True):
    """How something is thrown away, in both languages; steps are one a line."""

    category: str
    name_en: str | None = None
    how_to_recycle: str | None = None
    do_not_do: str | None = None
    how_to_recycle_en: str | None = None
    do_not_do_en: str | None = None

    def steps(self, language: str) -> list[str]:
        return _lines((self.how_to_recycle_en if language == "en" else None) or self.how_to_recycle)

    def warnings(self, language: str) -> list[str]:
        return _lines((self.do_not_do_en if language == "en" else None) or self.do_not_do)


class Item(Rules, frozen=True, kw_only=True):
    """An item as recycle-info answers it. `score` is the search's, 0 to 1.

    `answers` are short answers by what is asked (rinse, label, toilet ...), `exceptions` what changes when the thing is dirty,
    broken, swollen ...; each in both languages.
    """

    id: UUID
    name: str
    score: float = 0.0
    description: str | None = None
    synonyms: list[str] = []
    synonyms_en: list[str] = []
    description_en: str | None = None
    why: str | None = None
    why_en: str | None = None
    answers: dict[str, dict[str, str]] = {}
    exceptions: dict[str, dict[str, str]] = {}
    bins: list[str] = []

    def names(self) -> list[str]:
        """Every name it is known by, in both languages."""
        return [name for name in (self.name, self.name_en, *self.synonyms, *self.synonyms_en) if name]

    def called(self, language: str) -> str:
        return (self.name_en if language == "en" else None) or self.name

    def described(self, language: str) -> str:
        return (self.description_en if language == "en" else None) or self.description or ""

    def reason(self, language: str) -> str:
        return (self.why_en if language == "en" else None) or self.why or ""

    def answer(self, aspect: str, language: str) -> str:
        """The short answer to that, or ""."""
        return self.answers.get(aspect, {}).get(language, "")

    def exception(self, case: str, language: str) -> str:
        """What changes then, or ""."""
        return self.exceptions.get(case, {}).get(language, "")


class Category(Rules, frozen=True, kw_only=True):
    """A kind of waste and what holds for all of it."""

    name_ko: str

    def called(self, language: str) -> str:
        return (self.name_en if language == "en" else None) or self.name_ko


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
    """The two services that are asked. Every method raises Unavailable while its service is away."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def search(self, query: str, limit: int = 20) -> list[Item]:
        """Items that are like a text, best first, down to resemblances: the caller reads the text itself."""
        query = " ".join(query.replace("\x00", " ").split())[:LONGEST_QUERY]
        if not query:
            return []
        params: dict[str, str | int] = {"q": query, "limit": limit, "floor": 0}
        return self._calls.get_blocking("api-recycle-info", "/api/v1/recycle/search", _Found, params).items

    def named(self, name: str) -> Item | None:
        """The item that a name put together of two words surely means."""
        best = next(iter(self.search(name, 1)), None)
        return best if best and best.score >= _SURE else None

    def item(self, item_id: UUID) -> Item:
        """One item. Raises Missing, which is an Unavailable, where it is gone."""
        return self._calls.get_blocking("api-recycle-info", f"/api/v1/recycle/items/{item_id}", Item)

    def category(self, waste_type: str) -> Category | None:
        """What holds for a kind of waste; None for `unknown`, which has no rules."""
        found = self._calls.get_blocking("api-recycle-info", "/api/v1/recycle/categories", list[Category])
        return next((category for category in found if category.category == waste_type), None)

    def nearest(self, place: Place, waste_type: str | None, limit: int = 3) -> list[Center]:
        """The nearest centers, of those that take a waste type when one is given."""
        # Three decimals are about 100 m: enough to find a center, and no more than it needs.
        params: dict[str, str | float | int] = {
            "lat": round(place.latitude, 3),
            "lon": round(place.longitude, 3),
            "limit": limit,
        }
        if waste_type:
            params["item"] = waste_type
        return self._calls.get_blocking("api-location", "/api/v1/locations/centers", _Centers, params).items


class Once(Neighbours):
    """The same two for one question: several rules look at what was said before, and search for the same."""

    def __init__(self, neighbours: Neighbours) -> None:
        super().__init__(neighbours._calls)
        self._neighbours = neighbours
        self._found: dict[tuple[str, int], list[Item]] = {}

    def search(self, query: str, limit: int = 20) -> list[Item]:
        if (query, limit) not in self._found:
            self._found[query, limit] = self._neighbours.search(query, limit)
        return self._found[query, limit]
