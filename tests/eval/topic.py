"""Trains what tells waste from other topics: `python -m tests.eval.topic` writes functions/ai/topic.json.

From the questions of all sets, from `topics.tsv` and from `marked.tsv`. Logistic regression over the runs of letters that three
texts or more have; both topics count alike, and so do long and short texts. `--leave-out` prints how often it is right about
each set when it was trained without it.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from functions.ai.linear import LinearFile
from functions.ai.topic import FILE, runs
from tests.eval import linear, marked, questions

TEXTS = Path(__file__).with_name("topics.tsv")
COMMAND = "python -m tests.eval.topic"
OFTEN = 3
"""Texts that a run of letters stands in at least."""
RIDGE = 2e-5
"""What a squared weight costs, half of it, beside the mean loss of a text."""

Text = tuple[str, bool]
"""A text, and whether it is about something else."""


def texts(without: str = "") -> list[Text]:
    """All for training, but for those of one set."""
    found = [
        (asked.text, asked.kind == questions.OFF)
        for name in questions.SETS
        if name != without
        for asked in questions.read(name)
    ]
    lines = TEXTS.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    # A remark in a dialogue may be about anything.
    written = [(one.text, one.aspect == "off") for one in marked.lines() if one.aspect and not one.follows]
    return found + [(text, label == "off") for label, text in rows] + written


def train(given: Sequence[Text]) -> LinearFile:
    """The weights of runs of letters; the same texts give the same file."""
    examples = [(runs(text), elsewhere) for text, elsewhere in given]
    return linear.train(examples, command=COMMAND, data=given, often=OFTEN, ridge=RIDGE)


def leave_out() -> None:
    """Of each set, how many of both topics are told apart by what was trained without it."""
    whole: Counter[tuple[bool, bool]] = Counter()
    for name in questions.SETS:
        file = train(texts(name))
        told = Counter((asked.kind == questions.OFF, file.odds(runs(asked.text)) > 0) for asked in questions.read(name))
        whole += told
        print(name, _shares(told), flush=True)
    print("all", _shares(whole))


def _shares(told: Counter[tuple[bool, bool]]) -> str:
    waste = f"waste {told[False, False]}/{told[False, False] + told[False, True]}"
    return f"{waste}, something else {told[True, True]}/{told[True, True] + told[True, False]}"


if __name__ == "__main__":
    sys.exit(linear.main(COMMAND, __doc__ or "", FILE, lambda: train(texts()), leave_out))
