"""Trains what tells things asked about from those only told of: `python -m tests.eval.asides` writes functions/ai/asides.json.

From the lines of `marked.tsv` that name several things. `--leave-out` prints how often it is right about each tenth of the lines
when it was trained on the others.
"""

import sys
from collections.abc import Sequence

from functions.ai.asides import FILE, around
from functions.ai.linear import LinearFile
from tests.eval import linear, marked

COMMAND = "python -m tests.eval.asides"
OFTEN = 4
"""Names that what counts stands around at least."""
RIDGE = 2e-5


def texts() -> list[marked.Line]:
    return [line for line in marked.lines() if len(line.names) > 1 or (line.names and line.follows)]


def examples(given: Sequence[marked.Line]) -> list[linear.Example]:
    """What is around each name, and whether it is only told of."""
    return [
        (around(line.text, [span for span, _ in line.names], number, follows=line.follows), aside)
        for line in given
        for number, (_, aside) in enumerate(line.names)
    ]


def train(given: Sequence[marked.Line]) -> LinearFile:
    """The weights of what stands around names; the same texts give the same file."""
    return linear.train(examples(given), command=COMMAND, data=given, often=OFTEN, ridge=RIDGE)


def leave_out() -> None:
    """Of each tenth of the lines, of how many names it is right, and of how many that it is sure of."""
    linear.leave_out(texts(), train, examples, surely=(0, 1, 1.5, 2))


if __name__ == "__main__":
    sys.exit(linear.main(COMMAND, __doc__ or "", FILE, lambda: train(texts()), leave_out))
