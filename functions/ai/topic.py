"""Whether a text that names a thing is about throwing it away, where no rule can say so: a linear classifier of its letters.

"유행 지난 넥타이 여섯 개" has no word of ours, and "노트북 화면이 깜빡거려" none of anything else; still, what people write about
waste and what they write about other things differ in their syllables and endings. `topic.json` says what a run of one to three
letters speaks for, in hundredths; `python -m tests.eval.topic` trains it. Rules come first: this is asked what they leave open.
"""

import re
import unicodedata
from pathlib import Path

from functions.ai.linear import read

FILE = Path(__file__).with_name("topic.json")
LONGEST_RUN = 3
# A longer text says more than the texts for training did: only its beginning counts.
_LONGEST = 200

# Odds of four to three; below them it is left open.
_CLEAR = 0.3
_SURE = 1.6

_BETWEEN = re.compile(r"[\W_]+")


def runs(text: str) -> set[str]:
    """The runs of one to three letters of a text, a blank before and after each word."""
    written = unicodedata.normalize("NFKC", text).lower()[:_LONGEST]
    letters = f" {_BETWEEN.sub(' ', written).strip()} "
    lengths = range(1, LONGEST_RUN + 1)
    return {letters[start : start + length] for length in lengths for start in range(len(letters) - length + 1)}


def about_waste(text: str) -> bool:
    """Whether it clearly is about what is thrown away."""
    return read(FILE).odds(runs(text)) < -_CLEAR


def surely_about_waste(text: str) -> bool:
    """Whether it hardly can be about anything else: odds of five to one."""
    return read(FILE).odds(runs(text)) < -_SURE


def about_something_else(text: str) -> bool:
    """Whether it clearly is about anything else."""
    return read(FILE).odds(runs(text)) > _CLEAR
