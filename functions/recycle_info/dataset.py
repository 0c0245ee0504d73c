"""The data set as it is written: one TOML file a category, checked on reading.

Facts come from the Korean Ministry of Environment's guidelines on separate disposal (환경부 재활용품 분리배출 가이드라인) and the
rules that follow from them; the words are the project's own.
"""

import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from functions.recycle_info.db import Category, Item
from shared.item_ids import item_id

CategoryName = Literal[
    "paper", "paper_pack", "plastic", "pet_clear", "vinyl", "styrofoam", "glass", "metal", "clothing", "battery",
    "lighting", "electronics", "food", "bulky", "general",
]  # fmt: skip
CATEGORIES: tuple[str, ...] = get_args(CategoryName)
FOLDER = Path(__file__).parent / "data"

Word = Annotated[str, Meta(min_length=1, max_length=200)]
Step = Annotated[str, Meta(min_length=4, max_length=300, pattern=r"^\S[^\n]*\S$")]
Steps = Annotated[list[Step], Meta(min_length=1, max_length=8)]


class Entry(Struct, forbid_unknown_fields=True):
    """One item of a file."""

    slug: Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]
    name: Word
    name_en: Word
    synonyms: list[Word]
    synonyms_en: list[Word]
    description: Step
    description_en: Step
    how: Steps
    how_en: Steps
    do_not: Steps
    do_not_en: Steps


class File(Struct, forbid_unknown_fields=True):
    """A category, the rules that hold for all of it, and its items."""

    category: CategoryName
    name_ko: Word
    name_en: Word
    how: Steps
    how_en: Steps
    do_not: Steps
    do_not_en: Steps
    items: list[Entry]


class DatasetError(Exception):
    """The data can't be loaded; each line of the message names a file and what is wrong in it."""


def read_files(folder: Path = FOLDER) -> list[File]:
    """All files of a folder, in the order of CATEGORIES.

    Raises:
        DatasetError: a file is malformed, or two items share a slug.
    """
    found, wrong = [], []
    for path in sorted(folder.glob("*.toml")):
        try:
            found.append(msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), File))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
            wrong.append(f"{path.name}: {error}")
    if not found and not wrong:
        wrong.append(f"{folder}: there is no .toml file in it")
    categories: list[str] = [file.category for file in found]
    slugs = [entry.slug for file in found for entry in file.items]
    for what, names in (("category", categories), ("slug", slugs)):
        wrong += [f"{what} {name} stands there {n} times" for name, n in sorted(Counter(names).items()) if n > 1]
    if wrong:
        raise DatasetError("\n".join(wrong))
    return sorted(found, key=lambda file: CATEGORIES.index(file.category))


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
    """The row of an item."""
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
    )
