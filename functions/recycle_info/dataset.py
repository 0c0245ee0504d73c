"""The items as they are written: TOML files read, filled in from their families, and checked on reading.

`data/CATEGORY.toml` has the rules of a category, its families and items; `data/CATEGORY/*.toml` has further items. An item says
what is its own. The rest comes from its family and its category: a hundred things that are thrown away alike repeat nothing.
"""

import tomllib
from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from functions.recycle_info import particles
from functions.recycle_info.db import Category, CategoryName, Item, Said
from functions.recycle_info.vocabulary import SOURCES, bins_named
from shared.item_ids import item_id

CATEGORIES: tuple[CategoryName, ...] = get_args(get_args(CategoryName)[0])
FOLDER = Path(__file__).parent / "data"

# What is asked about a thing: each is a question that has a short answer, which begins with yes or no where it can.
Aspect = Literal[
    "recycle",  # is it recycled?
    "bag",  # into the pay-as-you-throw bag?
    "food",  # is it food waste?
    "toilet",  # down the toilet?
    "drain",  # down the sink or the drain?
    "rinse",  # must it be washed?
    "moisture",  # must the water come out?
    "label",  # must labels, tape or stickers come off?
    "lid",  # lid on or off, and where does it go?
    "separate",  # must it be taken apart?
    "crush",  # is it crushed, folded or broken up?
    "wrapped",  # with its bag or wrapping?
    "tied",  # in which bag, bundled how, how many?
    "rain",  # what when it rains?
    "battery",  # must a battery come out?
    "data",  # what about personal data?
    "pickup",  # who collects it, and does it cost anything?
    "reuse",  # can it be given on?
    "safe",  # what is dangerous about it?
    "local",  # what does the municipality decide?
    "tell",  # how is it told from what is like it?
]
# How a thing is, where that changes what to do.
Case = Literal["dirty", "broken", "mixed", "full", "large", "small", "swollen", "leaking", "worn", "unknown"]

Word = Annotated[str, Meta(min_length=1, max_length=200)]
Step = Annotated[str, Meta(min_length=4, max_length=300, pattern=r"^\S[^\n]*\S$")]
Steps = Annotated[list[Step], Meta(min_length=1, max_length=8)]
Slug = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]


class Family(Struct, forbid_unknown_fields=True, kw_only=True):
    """Things that are thrown away alike. Its texts may hold {name}, with a particle: {name:은}."""

    description: Step | None = None
    description_en: Step | None = None
    how: Steps | None = None
    how_en: Steps | None = None
    do_not: Steps | None = None
    do_not_en: Steps | None = None
    why: Step | None = None
    why_en: Step | None = None
    source: Word | None = None
    answers: dict[Aspect, Said] = {}
    exceptions: dict[Case, Said] = {}


class Written(Family, forbid_unknown_fields=True, kw_only=True):
    """An item as a file has it: what it says goes before what its family says.

    A synonym may be a pattern of words: "갈치|고등어 가시|뼈" is four names.
    """

    slug: Slug
    family: Word | None = None
    name: Word
    name_en: Word
    synonyms: list[Word]
    synonyms_en: list[Word]


class Entry(Struct, frozen=True, kw_only=True):
    """An item with all there is to say about it."""

    slug: str
    name: str
    name_en: str
    synonyms: list[str]
    synonyms_en: list[str]
    description: str
    description_en: str
    how: list[str]
    how_en: list[str]
    do_not: list[str]
    do_not_en: list[str]
    why: str
    why_en: str
    source: str
    answers: dict[str, Said]
    exceptions: dict[str, Said]


class _Rules(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is the same of a category as it is written and as it is read."""

    category: CategoryName
    name_ko: Word
    name_en: Word
    how: Steps
    how_en: Steps
    do_not: Steps
    do_not_en: Steps
    why: Step
    why_en: Step
    source: Word


class _CategoryFile(_Rules, forbid_unknown_fields=True, kw_only=True):
    answers: dict[Aspect, Said] = {}
    exceptions: dict[Case, Said] = {}
    families: dict[str, Family] = {}
    items: list[Written]


class _FurtherFile(Struct, forbid_unknown_fields=True):
    items: list[Written]
    families: dict[str, Family] = {}


class File(_Rules, kw_only=True):
    """A category, the rules that hold for all of it, and its items."""

    items: list[Entry]


_Read = TypeVar("_Read")


class DatasetError(Exception):
    """The data can't be loaded; each line of the message names a file and what is wrong in it."""


def read_files(folder: Path = FOLDER) -> list[File]:
    """All files of a folder, in the order of CATEGORIES.

    Raises:
        DatasetError: a file is malformed, two items share a slug, or something that an item needs is nowhere.
    """
    wrong: list[str] = []
    found = [file for path in sorted(folder.glob("*.toml")) for file in _read(path, _CategoryFile, wrong)]
    if not found and not wrong:
        wrong.append(f"{folder}: there is no .toml file in it")
    files = [_filled(file, folder / file.category, wrong) for file in found]
    wrong += _twice("category", [file.category for file in files])
    wrong += _twice("slug", [entry.slug for file in files for entry in file.items])
    if wrong:
        raise DatasetError("\n".join(wrong))
    return sorted(files, key=lambda file: CATEGORIES.index(file.category))


def _read(path: Path, into: type[_Read], wrong: list[str]) -> list[_Read]:
    """The file, or nothing and a line more of what is wrong."""
    try:
        return [msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), into)]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        wrong.append(f"{path.name}: {error}")
        return []


def _twice(what: str, names: Sequence[str]) -> list[str]:
    return [f"{what} {name} is there {n} times" for name, n in sorted(Counter(names).items()) if n > 1]


def _filled(file: _CategoryFile, further: Path, wrong: list[str]) -> File:
    """The category with its items, also those of its folder, each with what its family says."""
    parts = [_FurtherFile(file.items)]
    parts += [part for path in sorted(further.glob("*.toml")) for part in _read(path, _FurtherFile, wrong)]
    entries: list[Entry] = []
    for part in parts:
        families = file.families | part.families
        for item in part.items:
            try:
                entries.append(_entry(item, _family(item, families), file))
            except DatasetError as error:
                wrong.append(f"{file.category}: {item.slug} {error}")
    rules = {name: getattr(file, name) for name in _Rules.__struct_fields__}
    return File(**rules, items=entries)


def _family(item: Written, families: dict[str, Family]) -> Family:
    if item.family is None:
        return Family()
    if item.family not in families:
        raise DatasetError(f"is of the family {item.family}, which is not there")
    return families[item.family]


def _entry(item: Written, family: Family, file: _CategoryFile) -> Entry:
    said: dict[str, Any] = {}
    for field in ("description", "how", "do_not", "why"):
        # Both languages come from one place, so that they say the same.
        for place in (item, family, file):
            both = [getattr(place, name, None) for name in (field, f"{field}_en")]
            if any(both):
                break
        if not all(both):
            raise DatasetError(f"has no {field} in both languages")
        said[field], said[f"{field}_en"] = (_named(text, item) for text in both)
    source = item.source or family.source or file.source
    if source not in SOURCES:
        raise DatasetError(f"names the source {source}, which is not in sources.toml")
    return Entry(
        slug=item.slug,
        name=item.name,
        name_en=item.name_en,
        synonyms=_spelt_out(item.synonyms),
        synonyms_en=_spelt_out(item.synonyms_en),
        source=source,
        answers=file.answers | _named(family.answers, item) | item.answers,
        exceptions=file.exceptions | _named(family.exceptions, item) | item.exceptions,
        **said,
    )


def _spelt_out(synonyms: list[str]) -> list[str]:
    """The names that patterns mean, each once."""
    choices = (product(*(word.split("|") for word in written.split(" "))) for written in synonyms)
    return list(dict.fromkeys(" ".join(words) for names in choices for words in names))


def _named(texts: Any, item: Written) -> Any:
    """A family's texts with the item's name in them."""
    if isinstance(texts, str):
        return particles.fill(texts, item.name, item.name_en)
    if isinstance(texts, list):
        return [_named(text, item) for text in texts]
    if isinstance(texts, dict):
        return {key: _named(text, item) for key, text in texts.items()}
    return texts


def to_category(file: File) -> Category:
    """The row of a category; its items are counted by the database."""
    return Category(
        category=file.category,
        name_ko=file.name_ko,
        name_en=file.name_en,
        count=len(file.items),
        how_to_recycle="\n".join(file.how),
        do_not_do="\n".join(file.do_not),
        how_to_recycle_en="\n".join(file.how_en),
        do_not_do_en="\n".join(file.do_not_en),
    )


def to_item(entry: Entry, category: str) -> Item:
    """The row of an item that is filled in."""
    return Item(
        id=item_id(entry.slug),
        name=entry.name,
        category=category,
        description=entry.description,
        how_to_recycle="\n".join(entry.how),
        do_not_do="\n".join(entry.do_not),
        images=[],
        slug=entry.slug,
        name_en=entry.name_en,
        synonyms=entry.synonyms,
        synonyms_en=entry.synonyms_en,
        description_en=entry.description_en,
        how_to_recycle_en="\n".join(entry.how_en),
        do_not_do_en="\n".join(entry.do_not_en),
        why=entry.why,
        why_en=entry.why_en,
        bins=list(bins_named("\n".join(entry.how), "ko")),
        exceptions=entry.exceptions,
        answers=entry.answers,
        source=SOURCES[entry.source],
    )
