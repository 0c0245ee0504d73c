"""One full address from the road and the lot address of a source that leaves parts of either out."""

import re
from collections.abc import Sequence

from msgspec import Struct

from functions.location import regions
from functions.location.regions import Province

# 시 is a city, 구 a ward, 군 a county; the endings of what comes before a town, a road or a village.
_DIVISION = re.compile(r"\D{1,9}(?:특별자치도|특별자치시|특별시|광역시|도|시|군|구)")
_NONE = re.compile(r"[\s`'\".?\-~/]*|없음|해당\s*없음|무|미상|n/?a|null|none", re.I)


class Address(Struct, frozen=True):
    """`text` is empty where the source has none; `other` is the lot address beside the one by road.

    `repairs` say in words what was done, by the source's field.
    """

    text: str
    province: Province | None
    other: str | None = None
    repairs: tuple[tuple[str, str], ...] = ()


def choose(road: str, lot: str, hints: Sequence[str] = ()) -> Address:
    """The road address with the province and city that only the lot address (or a hint, such as a region) names.

    The fields of repairs are `road` and `lot`.
    """
    repairs: list[tuple[str, str]] = []
    cleaned = {}
    for field, source in (("road", road), ("lot", lot)):
        text = _tidy(source.replace("?", " "))
        if "?" in source and text:
            repairs.append((field, "question marks, left by a lost character, read as spaces"))
        if _NONE.fullmatch(text):
            # «없음» is an answer; a lone backtick is a slip.
            if text and not re.search(r"\w", text):
                repairs.append((field, f"«{source.strip()}» is no address"))
            text = ""
        cleaned[field] = text
    province = _province(cleaned["lot"], cleaned["road"], *hints)
    if not cleaned["road"]:
        text, field = cleaned["lot"], "lot"
    else:
        text, field = cleaned["road"], "road"
        if missing := _missing(text, cleaned["lot"]):
            text = f"{missing} {text}"
            repairs.append((field, f"«{missing}» put before it, from the lot address"))
    if text and province is not None and not text.startswith(province.aliases):
        text = f"{province.name} {text}"
        repairs.append((field, f"«{province.name}» put before it, from its town or region"))
    other = cleaned["lot"] if field == "road" and cleaned["lot"] not in ("", text) else None
    return Address(text, province, other, tuple(repairs))


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _province(*texts: str) -> Province | None:
    for text in texts:
        if found := regions.of_address(text) or regions.of_town(f"{text}시") or regions.of_town(f"{text}군"):
            return found
    return None


def _missing(road: str, lot: str) -> str:
    """The divisions that the lot address names before the first one of the road address."""
    first = road.split()[0]
    if regions.named(first):
        return ""
    divisions: list[str] = []
    for word in lot.split():
        division = _DIVISION.match(word)
        if division is None or len(divisions) == 3:
            break
        divisions.append(division.group())
    if not divisions or regions.named(divisions[0]) is None:
        return ""
    if first in divisions:
        return " ".join(divisions[: divisions.index(first)])
    if _DIVISION.fullmatch(first):
        # Another division than the lot address names: only the province is common to both for sure.
        return divisions[0]
    return " ".join(divisions)
