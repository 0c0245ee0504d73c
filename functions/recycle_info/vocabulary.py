"""The bins, services and sources that items may name: `rules/*.toml`, read once."""

import re
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from functions.recycle_info.db import Publication

_FOLDER = Path(__file__).parent / "rules"


def _read(name: str) -> dict[str, dict[str, str]]:
    return tomllib.loads((_FOLDER / name).read_text(encoding="utf-8"))


SOURCES = msgspec.convert(_read("sources.toml"), dict[str, Publication])
_BINS = {
    name: {language: re.compile(pattern, re.IGNORECASE) for language, pattern in patterns.items()}
    for name, patterns in _read("bins.toml").items()
}


def bins_named(text: str, language: Literal["ko", "en"]) -> list[str]:
    """The bins and services that a text names, in the order of the vocabulary."""
    return [name for name, patterns in _BINS.items() if patterns[language].search(text)]
