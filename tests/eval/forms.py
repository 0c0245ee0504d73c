"""Trains what tells who wants yes or no: `python -m tests.eval.forms` writes functions/ai/forms.json.

From the lines of `marked.tsv` that say how they ask. `--leave-out` prints how often it is right about each tenth of the lines
when it was trained on the others.
"""

import sys
from collections.abc import Sequence

from functions.ai.facts import Facts, language
from functions.ai.forms import FILE, held
from functions.ai.linear import LinearFile
from tests.eval import linear, marked

COMMAND = "python -m tests.eval.forms"
OFTEN = 4
"""Lines that hold what counts at least."""
RIDGE = 1e-5
POLAR = frozenset({"yn", "yn-do", "yn-leave"})


def texts() -> list[marked.Line]:
    return [line for line in marked.lines() if line.form]


def examples(given: Sequence[marked.Line]) -> list[linear.Example]:
    """What each line holds, and whether it wants yes or no."""
    facts = (Facts(line.text, language(line.text), ()) for line in given)
    return [(held(fact.text, fact.heard), line.form in POLAR) for fact, line in zip(facts, given, strict=True)]


def train(given: Sequence[marked.Line]) -> LinearFile:
    """The weights of what lines hold; the same lines give the same file."""
    return linear.train(examples(given), command=COMMAND, data=given, often=OFTEN, ridge=RIDGE)


def leave_out() -> None:
    """Of each tenth of the lines, of how many it is right, and of how many that it is sure of."""
    linear.leave_out(texts(), train, examples, surely=(0, 0.5, 1))


if __name__ == "__main__":
    sys.exit(linear.main(COMMAND, __doc__ or "", FILE, lambda: train(texts()), leave_out))
