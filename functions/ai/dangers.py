"""Which danger a text tells of, where no words of `situations.toml` are heard: a classifier of its letters.

"코가 매워", "칙 소리가 나", "발에 박혔어": what people feel, hear and see is without end, and few of them name what is dangerous.
`dangers.json` says what runs of one to three letters and how a text ends speak for, a letter for each danger and for none;
`python -m tests.eval.dangers` trains it.
"""

import re
from functools import lru_cache
from pathlib import Path

import msgspec

from functions.ai.aspects import AspectsFile
from functions.ai.facts import plain

FILE = Path(__file__).with_name("dangers.json")
NONE = "none"
LONGEST_RUN = 3
# A longer text says more than the texts for training did: only its beginning counts.
_LONGEST = 200

# How likely it must be that there is any danger, where a thing of ours is asked about and where nothing else is heard; and how
# likely that it is this one.
_SURE = 0.6
_CLEAR = 0.5
_THIS = 0.2

_BETWEEN = re.compile(r"[\W_]+")


@lru_cache(maxsize=1)
def read() -> AspectsFile:
    """The classifier's file; kept, since each question asks it."""
    return msgspec.json.decode(FILE.read_bytes(), type=AspectsFile)


def held(text: str) -> set[str]:
    """What a text holds: its runs of letters, a blank before and after each word, and its last letters."""
    letters = f" {_BETWEEN.sub(' ', plain(text[:_LONGEST])).strip()} "
    lengths = range(1, LONGEST_RUN + 1)
    found = {letters[start : start + length] for length in lengths for start in range(len(letters) - length + 1)}
    return found | {f"$:{letters.rstrip()[-length:]}" for length in range(2, 6)}


def judged(text: str, *, asks: bool) -> str | None:
    """The name of the danger that a text tells of, where that is sure enough: surer, if it `asks` about a thing of ours."""
    chances = read().chances(held(text))
    safe = chances.pop(NONE)
    likeliest = max(chances, key=chances.__getitem__)
    return likeliest if 1 - safe > (_SURE if asks else _CLEAR) and chances[likeliest] > _THIS else None
