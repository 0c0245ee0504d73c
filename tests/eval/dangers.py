"""Trains what tells dangers by their letters: `python -m tests.eval.dangers` writes functions/ai/dangers.json.

From `dangers.tsv` and the phrasings of tests/ai/dangers.tsv; all other texts for training are none, but for those in which
words of `situations.toml` are heard. `--leave-out` prints how often it is right about each tenth
when it was trained on the others.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from functions.ai.aspects import ZERO, AspectsFile
from functions.ai.dangers import FILE, NONE, held
from functions.ai.facts import asked
from functions.ai.vocabulary import SITUATIONS
from tests.eval import aspects, linear, marked, topic

TEXTS = Path(__file__).with_name("dangers.tsv")
PHRASINGS = Path(__file__).parents[1] / "ai" / "dangers.tsv"
COMMAND = "python -m tests.eval.dangers"
OFTEN = 2
"""Dangers that what counts stands in at least: what only other texts hold speaks for nothing."""
OTHERS = 0.2
"""What a text without a danger counts beside one with: there are ten times as many."""
RIDGE = 3e-6

Text = tuple[str, str]
"""A text, and the danger that it tells of."""


def texts() -> list[Text]:
    """All for training, each text once."""
    rows = [line.split("\t") for line in TEXTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    given = {text: name for name, text in rows}
    kinds = set(given.values())
    phrasings = [line.split("\t") for line in PHRASINGS.read_text(encoding="utf-8").splitlines()]
    given |= {text: name for name, text in phrasings if name in kinds}
    others = [*(text for text, _ in topic.texts()), *(one.text for one in marked.lines() if not one.follows)]
    return [*given.items(), *((text, NONE) for text in dict.fromkeys(others) if text not in given and not _heard(text))]


def _heard(text: str) -> bool:
    return any(one.there(asked(text)) for one in SITUATIONS)


def train(given: Sequence[Text], begin: AspectsFile | None = None) -> AspectsFile:
    """The weights of what texts hold; the same texts give the same file, wherever the search for its only minimum begins."""
    found = [held(text) for text, _ in given]
    kept, features = linear.features(found, OFTEN)
    dangers = Counter(one for each, (_, name) in zip(found, given, strict=True) if name != NONE for one in each)
    places = [place for place, one in enumerate(kept) if dangers[one] >= OFTEN]
    kinds = sorted({name for _, name in given})
    wanted = np.array([[name == kind for kind in kinds] for _, name in given], dtype=float)
    counts = np.array([OTHERS if name == NONE else 1 for _, name in given])
    nothing = chr(ZERO) * len(kinds)
    known = [begin.weights.get(kept[place], nothing) for place in places] + [begin.biases] if begin else []
    start = aspects.numbers(known or [nothing] * (len(places) + 1))
    weights, biases = aspects.fit(features[:, places], wanted, start, counts, RIDGE)
    rows = [aspects.letters(row) for row in weights]
    return AspectsFile(
        revision=1,
        command=COMMAND,
        data_sha256=linear.data_hash(given),
        kinds=tuple(kinds),
        biases=aspects.letters(biases),
        weights={kept[place]: row for place, row in zip(places, rows, strict=True) if row != nothing},
    )


def leave_out() -> None:
    """Of all dangers, how many are heard that the other texts taught and how many rightly, and how many texts without any."""
    results = list[tuple[float, str, str]]()
    for others, part in linear.folds(texts()):
        file = train(others)
        for text, name in part:
            chances = file.chances(held(text))
            safe = chances.pop(NONE)
            results.append((1 - safe, max(chances, key=chances.__getitem__), name))
    dangers = [one for one in results if one[2] != NONE]
    for least in (0.3, 0.5, 0.6, 0.8):
        heard = [likeliest == name for chance, likeliest, name in dangers if chance > least]
        alarms = sum(chance > least for chance, _, name in results if name == NONE)
        told = f"{len(heard)} of {len(dangers)} dangers, {sum(heard)} of them as they are"
        print(f"chances of {least}: {told}, and {alarms} of {len(results) - len(dangers)} other texts")


if __name__ == "__main__":
    sys.exit(aspects.main(COMMAND, __doc__ or "", FILE, lambda: train(texts()), leave_out))
