"""Trains the linear classifiers of functions/ai: logistic regression, whose numbers come out the same from the same examples."""

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from functions.ai.linear import HUNDREDTHS, LinearFile

if TYPE_CHECKING:
    from scipy.sparse import csr_array

T = TypeVar("T")

# The minimum is reached where no slope is steeper: a weight is then off by less than it is rounded.
FLAT = 1e-8

PARTS = 10
"""Of the texts: of each is asked what the others taught."""

Example = tuple[Collection[str], bool]
"""What an example holds, and whether it is what the classifier's odds are of."""


def train(examples: Sequence[Example], *, command: str, data: Any, often: int, ridge: float) -> LinearFile:
    """The weights of what `often` examples or more hold; both answers count alike, and so do long and short examples.

    Args:
        command: what trains it again.
        data: what the examples were made of; the file has its hash.
        ridge: what a squared weight costs, half of it, beside the mean loss of an example.

    Raises:
        ValueError: the search has not come to the minimum.
    """
    kept, held = features([found for found, _ in examples], often)
    weights, bias = fit(held, np.array([answer for _, answer in examples]), ridge)
    numbers = np.rint(weights * HUNDREDTHS).astype(int).tolist()
    return LinearFile(
        revision=1,
        command=command,
        data_sha256=data_hash(data),
        bias=round(bias * HUNDREDTHS),
        weights={one: number for one, number in zip(kept, numbers, strict=True) if number},
    )


def features(found: Sequence[Collection[str]], often: int) -> tuple[list[str], "csr_array"]:
    """What `often` examples or more hold, and how much of it each example holds: long and short ones count alike."""
    from scipy.sparse import csr_array  # half a second, which only who trains should wait

    counts = Counter(one for each in found for one in each)
    kept = sorted(one for one, count in counts.items() if count >= often)
    place = {one: number for number, one in enumerate(kept)}
    held = [sorted(place[one] for one in each if one in place) for each in found]
    rows = np.repeat(np.arange(len(found)), [len(one) for one in held])
    values = 1 / np.sqrt([len(each) for each in found])
    columns = [column for one in held for column in one]
    return kept, csr_array((values[rows], (rows, columns)), (len(found), len(kept)))


def fit(features: "csr_array", answers: npt.NDArray[np.bool_], ridge: float) -> tuple[npt.NDArray[np.float64], float]:
    """Weights [features] and a bias: their sum over an example is the logarithm of the odds that its answer is true."""
    from scipy.optimize import minimize
    from scipy.special import expit

    weight = np.where(answers, 0.5 / answers.sum(), 0.5 / (~answers).sum())
    sign = np.where(answers, 1.0, -1.0)

    def loss(numbers: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        margin = sign * (features @ numbers[:-1] + numbers[-1])
        slope = -weight * sign * expit(-margin)
        value = weight @ np.logaddexp(0, -margin) + ridge / 2 * numbers[:-1] @ numbers[:-1]
        return float(value), np.append(features.T @ slope + ridge * numbers[:-1], slope.sum())

    start = np.zeros(features.shape[1] + 1)
    options = {"maxiter": 5000, "maxfun": 10000, "gtol": FLAT, "ftol": 0, "maxcor": 30}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    if np.abs(found.jac).max() > FLAT:
        raise ValueError(f"the regression stopped before its minimum: {found.message}")
    return found.x[:-1], float(found.x[-1])


def data_hash(data: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(data)).hexdigest()


def differs(one: LinearFile, other: LinearFile) -> str:
    """What two files differ in by more than a rounding step, or nothing."""
    for name in ("command", "data_sha256"):
        if getattr(one, name) != getattr(other, name):
            return f"{name}: {getattr(one, name)} and {getattr(other, name)}"
    named = one.weights.keys() | other.weights.keys()
    off = [abs(one.weights.get(run, 0) - other.weights.get(run, 0)) for run in named]
    most = max([*off, abs(one.bias - other.bias)])
    return f"a number by {most} hundredths" if most > 1 else ""


def write(file: LinearFile, path: Path) -> None:
    """The weights that begin alike, with one letter or one word before a colon, in a line."""
    whole = msgspec.json.encode(msgspec.structs.replace(file, weights={})).decode().removesuffix("{}}")
    alike = groupby(file.weights.items(), key=lambda entry: _beginning(entry[0]))
    lines = [msgspec.json.encode(dict(entries)).decode()[1:-1] for _, entries in alike]
    path.write_text(whole + "{\n" + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


def _beginning(name: str) -> str:
    word, colon, rest = name.partition(":")
    return f"{word}:{rest[:1]}" if colon else name[0]


def folds(given: Sequence[T]) -> Iterator[tuple[list[T], Sequence[T]]]:
    """Each part of the texts, behind all the others."""
    for part in range(PARTS):
        yield [one for number, one in enumerate(given) if number % PARTS != part], given[part::PARTS]


def leave_out(
    given: Sequence[T],
    train: Callable[[Sequence[T]], LinearFile],
    examples: Callable[[Sequence[T]], Sequence[Example]],
    surely: Sequence[float],
) -> None:
    """Print of how many examples a classifier is right that the other texts taught, and of how many where it is so sure."""
    results = list[tuple[float, bool]]()
    for others, part in folds(given):
        file = train(others)
        results += [(file.odds(found), answer) for found, answer in examples(part)]
    for least in surely:
        sure = [(odds > 0) == answer for odds, answer in results if abs(odds) > least]
        print(f"odds beyond {least}: {len(sure)} of {len(results)}, right {sum(sure) / len(sure):.3f}")


def main(command: str, about: str, path: Path, make: Callable[[], LinearFile], leave_out: Callable[[], None]) -> int:
    """A classifier's command: train it and write its file, or print how right it is about what it was not trained on."""
    parser = argparse.ArgumentParser(prog=command, description=about.splitlines()[0])
    parser.add_argument("--leave-out", action="store_true", help="train without each part in turn; write nothing")
    if parser.parse_args().leave_out:
        leave_out()
        return 0
    file = make()
    write(file, path)
    print(f"{path.name}: {len(file.weights)} weights, {path.stat().st_size} bytes")
    return 0
