"""Trains what tells waste from other topics: `python -m tests.eval.topic` writes functions/ai/topic.json.

From the questions of all sets and from `topics.tsv`. Logistic regression over the runs of letters that three texts or more have;
both topics count alike, and so do long and short texts. `--leave-out` prints how often it is right about each set when it was
trained without it.
"""

import argparse
import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from functions.ai.topic import FILE, HUNDREDTHS, TopicFile, odds, runs
from tests.eval import questions

if TYPE_CHECKING:
    from scipy.sparse import csr_array

TEXTS = Path(__file__).with_name("topics.tsv")
COMMAND = "python -m tests.eval.topic"
OFTEN = 3
"""Texts that a run of letters stands in at least."""
RIDGE = 2e-5
"""What a squared weight costs, half of it, beside the mean loss of a text."""
# The minimum is reached where no slope is steeper: a weight is then off by less than it is rounded.
FLAT = 1e-8

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
    return found + [(text, label == "off") for label, text in rows]


def train(given: Sequence[Text]) -> TopicFile:
    """The weights of runs of letters; the same texts give the same file.

    Raises:
        ValueError: the search has not come to the minimum.
    """
    from scipy.sparse import csr_array  # half a second, which only who trains should wait

    found = [runs(text) for text, _ in given]
    often = Counter(run for one in found for run in one)
    kept = sorted(run for run, count in often.items() if count >= OFTEN)
    place = {run: number for number, run in enumerate(kept)}
    held = [[place[run] for run in one if run in place] for one in found]
    rows = np.repeat(np.arange(len(given)), [len(one) for one in held])
    values = 1 / np.sqrt([len(one) for one in found])
    features = csr_array((values[rows], (rows, [column for one in held for column in one])), (len(given), len(kept)))
    weights, bias = fit(features, np.array([elsewhere for _, elsewhere in given]))
    numbers = np.rint(weights * HUNDREDTHS).astype(int).tolist()
    return TopicFile(
        revision=1,
        command=COMMAND,
        data_sha256=data_hash(given),
        bias=round(bias * HUNDREDTHS),
        weights={run: number for run, number in zip(kept, numbers, strict=True) if number},
    )


def fit(features: "csr_array", elsewhere: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.float64], float]:
    """Weights [features] and a bias: their sum over a text is the logarithm of the odds that it is about something else."""
    from scipy.optimize import minimize
    from scipy.special import expit

    weight = np.where(elsewhere, 0.5 / elsewhere.sum(), 0.5 / (~elsewhere).sum())
    sign = np.where(elsewhere, 1.0, -1.0)

    def loss(numbers: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        margin = sign * (features @ numbers[:-1] + numbers[-1])
        slope = -weight * sign * expit(-margin)
        value = weight @ np.logaddexp(0, -margin) + RIDGE / 2 * numbers[:-1] @ numbers[:-1]
        return float(value), np.append(features.T @ slope + RIDGE * numbers[:-1], slope.sum())

    start = np.zeros(features.shape[1] + 1)
    options = {"maxiter": 5000, "maxfun": 10000, "gtol": FLAT, "ftol": 0, "maxcor": 30}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    if np.abs(found.jac).max() > FLAT:
        raise ValueError(f"the regression stopped before its minimum: {found.message}")
    return found.x[:-1], float(found.x[-1])


def data_hash(given: Sequence[Text]) -> str:
    return hashlib.sha256(msgspec.json.encode(given)).hexdigest()


def differs(one: TopicFile, other: TopicFile) -> str:
    """What two files differ in by more than a rounding step, or nothing."""
    for name in ("command", "data_sha256"):
        if getattr(one, name) != getattr(other, name):
            return f"{name}: {getattr(one, name)} and {getattr(other, name)}"
    named = one.weights.keys() | other.weights.keys()
    off = [abs(one.weights.get(run, 0) - other.weights.get(run, 0)) for run in named]
    most = max([*off, abs(one.bias - other.bias)])
    return f"a number by {most} hundredths" if most > 1 else ""


def write(file: TopicFile, path: Path) -> None:
    """The runs that begin with one letter in a line."""
    whole = msgspec.json.encode(msgspec.structs.replace(file, weights={})).decode().removesuffix("{}}")
    by_letter = groupby(file.weights.items(), key=lambda entry: entry[0][0])
    lines = [msgspec.json.encode(dict(entries)).decode()[1:-1] for _, entries in by_letter]
    path.write_text(whole + "{\n" + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


def leave_out() -> None:
    """Of each set, how many of both topics are told apart by what was trained without it."""
    whole: Counter[tuple[bool, bool]] = Counter()
    for name in questions.SETS:
        file = train(texts(name))
        told = Counter((asked.kind == questions.OFF, odds(asked.text, file) > 0) for asked in questions.read(name))
        whole += told
        print(name, _shares(told), flush=True)
    print("all", _shares(whole))


def _shares(told: Counter[tuple[bool, bool]]) -> str:
    waste = f"waste {told[False, False]}/{told[False, False] + told[False, True]}"
    return f"{waste}, something else {told[True, True]}/{told[True, True] + told[True, False]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--leave-out", action="store_true", help="train without each set in turn; write nothing")
    if parser.parse_args().leave_out:
        leave_out()
        return 0
    file = train(texts())
    write(file, FILE)
    print(f"{FILE.name}: {len(file.weights)} runs of letters, {FILE.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
