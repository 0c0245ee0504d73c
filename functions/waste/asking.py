"""The question that a photo leaves open, in words."""

import tomllib
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from functions.waste.model import Ask


class Words(Struct, forbid_unknown_fields=True):
    """The file beside this module: the kinds' names, and the questions of pairs (both kinds, in the alphabet's order)."""

    names: dict[str, str]
    pairs: dict[str, str]


@cache
def words() -> Words:
    """As it was written; read once."""
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Words)


def ask(options: list[str]) -> Ask | None:
    """The question for these kinds of waste; None where there is nothing to choose from."""
    if len(options) < 2:
        return None
    question = words().pairs.get(" ".join(sorted(options)))
    if question is None:
        question = (
            f"사진만으로는 구분하기 어려워요. {_either([words().names[kind] for kind in options])} 중 어느 것인가요?"
        )
    return Ask(question, options)  # type: ignore[arg-type]  # the names are the kinds


def _either(names: list[str]) -> str:
    """`유리와 종이`, `비닐과 종이`: the particle follows the last sound."""
    *before, one, last = names
    closed = (ord(one[-1]) - ord("가")) % 28 > 0
    return ", ".join([*before, f"{one}{'과' if closed else '와'} {last}"])
