"""Trains what tells things asked about from those only told of: `python -m tests.eval.asides` writes functions/ai/asides.json.

From `asides.txt`: texts that name several things, a line each, [asked about] or {told of}. `--leave-out` prints how often
it is right about each tenth of the lines when it was trained on the others.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from functions.ai.asides import FILE, Span, around
from functions.ai.facts import plain
from functions.ai.linear import LinearFile
from tests.eval import linear

TEXTS = Path(__file__).with_name("asides.txt")
COMMAND = "python -m tests.eval.asides"
OFTEN = 2
"""Names that what counts stands around at least."""
RIDGE = 2e-5
PARTS = 10

Told = tuple[str, list[tuple[Span, bool]]]
"""A text, and its names: where each is, and whether it is only told of."""

_NAMES = re.compile(r"\[([^\]]+)\]|\{([^}]+)\}")


def texts() -> list[Told]:
    lines = TEXTS.read_text(encoding="utf-8").splitlines()
    return [told(line) for line in lines if line and not line.startswith("#")]


def told(line: str) -> Told:
    """What a line says.

    Raises:
        ValueError: it holds a bracket too many, or less than two names.
    """
    line = plain(line)
    text, names, done = "", list[tuple[Span, bool]](), 0
    for match in _NAMES.finditer(line):
        text += line[done : match.start()]
        name = match[1] or match[2]
        names.append(((len(text), len(text) + len(name)), match[2] is not None))
        text, done = text + name, match.end()
    text += line[done:]
    if re.search(r"[\[\]{}]", text) or len(names) < 2:
        raise ValueError(f"{TEXTS.name}: a line has two names or more, each in [ ] or {{ }}: {line}")
    return text, names


def examples(given: Sequence[Told]) -> list[linear.Example]:
    """What is around each name, and whether it is only told of."""
    return [
        (around(text, [span for span, _ in names], number), aside)
        for text, names in given
        for number, (_, aside) in enumerate(names)
    ]


def train(given: Sequence[Told]) -> LinearFile:
    """The weights of what stands around names; the same texts give the same file."""
    return linear.train(examples(given), command=COMMAND, data=given, often=OFTEN, ridge=RIDGE)


def leave_out() -> None:
    """Of each tenth of the lines, of how many names it is right, and of how many that it is sure of."""
    given = texts()
    results = list[tuple[float, bool]]()
    for part in range(PARTS):
        file = train([one for number, one in enumerate(given) if number % PARTS != part])
        results += [(file.odds(found), aside) for found, aside in examples(given[part::PARTS])]
    for least in (0, 1, 1.5, 2):
        sure = [(odds > 0) == aside for odds, aside in results if abs(odds) > least]
        print(f"odds beyond {least}: {len(sure)} of {len(results)} names, right {sum(sure) / len(sure):.3f}")


if __name__ == "__main__":
    sys.exit(linear.main(COMMAND, __doc__ or "", FILE, lambda: train(texts()), leave_out))
