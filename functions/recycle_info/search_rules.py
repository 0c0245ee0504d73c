"""What people's queries look like: `rules/search.toml`, read once."""

import tomllib
from pathlib import Path

import msgspec
from msgspec import Struct


class _Rules(Struct, forbid_unknown_fields=True):
    """`rules/search.toml`."""

    korean_question: list[str]
    korean_disposal: list[str]
    korean_predicate: list[str]
    korean_afterwards: list[str]
    korean_state: list[str]
    english_question: list[str]
    english_disposal: list[str]
    particles: list[str]
    topics: list[str]
    short_particles: list[str]
    qualities: frozenset[str]
    afterwards: frozenset[str]
    other_words: frozenset[str]
    tails: list[str]
    spellings: list[tuple[str, str]]
    alike: list[list[str]]
    kinds: dict[str, list[str]]
    several: dict[str, list[str]]
    generic: frozenset[str]
    materials: frozenset[str]
    food_parts: list[str]
    packings: frozenset[str]
    containers: list[str]


RULES = msgspec.convert(tomllib.loads((Path(__file__).parent / "rules" / "search.toml").read_text("utf-8")), _Rules)
