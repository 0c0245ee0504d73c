"""Trains what tells which way is asked: `python -m tests.eval.ways` writes functions/ai/ways.json.

From the lines of `marked.tsv` whose form is yn-do or yn-leave. `--leave-out` prints how often it is right about each tenth of the
lines when it was trained on the others.
"""

import sys
from collections.abc import Sequence

from functions.ai.linear import LinearFile
from functions.ai.ways import FILE, held
from tests.eval import linear, marked

COMMAND = "python -m tests.eval.ways"
OFTEN = 4
"""Lines that hold what counts at least."""
RIDGE = 1e-5
LEAVES = "yn-leave"


def texts() -> list[marked.Line]:
    return [line for line in marked.lines() if line.form in ("yn-do", LEAVES)]


def examples(given: Sequence[marked.Line]) -> list[linear.Example]:
    """What each line holds, and whether its yes would leave the thing undone."""
    return [(held(line.text, line.aspect), line.form == LEAVES) for line in given]


def train(given: Sequence[marked.Line]) -> LinearFile:
    """The weights of what lines hold; the same lines give the same file."""
    return linear.train(examples(given), command=COMMAND, data=given, often=OFTEN, ridge=RIDGE)


def leave_out() -> None:
    """Of each tenth of the lines, of how many it is right, and of how many that it is sure of."""
    linear.leave_out(texts(), train, examples, surely=(0, 0.5, 1))


if __name__ == "__main__":
    sys.exit(linear.main(COMMAND, __doc__ or "", FILE, lambda: train(texts()), leave_out))
