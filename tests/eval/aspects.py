"""Trains what tells kinds of questions apart: `python -m tests.eval.aspects` writes functions/ai/aspects.json.

From the lines of `marked.tsv` that say what is asked: logistic regression over all kinds at once. `--leave-out` prints how
often it is right about each tenth of the lines when it was trained on the others.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from functions.ai.aspects import FILE, LEVEL, ZERO, AspectsFile, held
from functions.ai.facts import Facts, language
from tests.eval import linear, marked

if TYPE_CHECKING:
    from scipy.sparse import csr_array

COMMAND = "python -m tests.eval.aspects"
OFTEN = 4
"""Lines that hold what counts at least."""
RIDGE = 2e-5
# The minimum is reached where no slope is steeper: a weight is then off by less than a level.
_FLAT = 2e-6
_MOST = 40

Floats = npt.NDArray[np.float64]


def texts() -> list[marked.Line]:
    """The lines that say how the thing is too: the others were written for the ways to ask, and not for what is asked."""
    return [line for line in marked.lines() if line.aspect and line.state]


def holds(line: marked.Line) -> set[str]:
    fact = Facts(line.text, language(line.text), ())
    return held(fact, [(*span, told) for span, told in line.names], follows=line.follows)


def train(given: Sequence[marked.Line], begin: AspectsFile | None = None) -> AspectsFile:
    """The weights of what lines hold; the same lines give the same file, wherever the search for its only minimum begins.

    Args:
        given: the lines.
        begin: a file with whose weights the search begins, at nothing unless said: nearer, it takes fewer steps.
    """
    found = [holds(line) for line in given]
    kept, features = linear.features(found, OFTEN)
    kinds = sorted({line.aspect for line in given})
    wanted = np.array([[line.aspect == kind for kind in kinds] for line in given], dtype=float)
    nothing = chr(ZERO) * len(kinds)
    known = [begin.weights.get(one, nothing) for one in kept] + [begin.biases] if begin else []
    start = numbers(known or [nothing] * (len(kept) + 1))
    weights, biases = fit(features, wanted, start, np.ones(len(given)), RIDGE)
    rows = [letters(row) for row in weights]
    return AspectsFile(
        revision=1,
        command=COMMAND,
        data_sha256=linear.data_hash(given),
        kinds=tuple(kinds),
        biases=letters(biases),
        weights={one: row for one, row in zip(kept, rows, strict=True) if row != nothing},
    )


def fit(features: "csr_array", wanted: Floats, begin: Floats, counts: Floats, ridge: float) -> tuple[Floats, Floats]:
    """Weights [features, kinds] and biases [kinds]: their sums over an example are the logarithms of its kinds' odds.

    The search begins at `begin` [features + 1, kinds], whose last row is of biases. Each example `counts` so much.

    Raises:
        ValueError: the search has not come to the minimum.
    """
    from scipy.optimize import minimize

    kinds, size = wanted.shape[1], features.shape[1]
    share = counts / counts.sum()

    def loss(point: Floats) -> tuple[float, Floats]:
        weights, biases = point[: size * kinds].reshape(size, kinds), point[size * kinds :]
        sums = features @ weights + biases
        sums -= sums.max(axis=1, keepdims=True)
        chances = np.exp(sums)
        total = chances.sum(axis=1, keepdims=True)
        off = (chances / total - wanted) * share[:, None]
        value = share @ (np.log(total[:, 0]) - (sums * wanted).sum(axis=1)) + ridge / 2 * (weights**2).sum()
        return float(value), np.append((features.T @ off + ridge * weights).ravel(), off.sum(axis=0))

    # Few earlier steps are kept in mind: with a quarter of a million numbers each takes more than the steps that it saves.
    options = {"maxiter": 2000, "maxfun": 4000, "gtol": _FLAT, "ftol": 0, "maxcor": 4}
    found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", options=options)
    if np.abs(found.jac).max() > _FLAT:
        raise ValueError(f"the regression stopped before its minimum: {found.message}")
    return found.x[: size * kinds].reshape(size, kinds), found.x[size * kinds :]


def letters(numbers: Floats) -> str:
    levels = np.clip(np.rint(numbers / LEVEL), -_MOST, _MOST).astype(int)
    return "".join(chr(ZERO + level) for level in levels)


def numbers(rows: Sequence[str]) -> Floats:
    return np.array([[(ord(letter) - ZERO) * LEVEL for letter in row] for row in rows])


def differs(one: AspectsFile, other: AspectsFile) -> str:
    """What two files differ in by more than a level, or nothing."""
    for name in ("command", "data_sha256", "kinds"):
        if getattr(one, name) != getattr(other, name):
            return f"{name}: {getattr(one, name)} and {getattr(other, name)}"
    nothing = chr(ZERO) * len(one.kinds)
    rows = [(one.biases, other.biases)] + [
        (one.weights.get(name, nothing), other.weights.get(name, nothing))
        for name in one.weights.keys() | other.weights.keys()
    ]
    most = max(abs(ord(a) - ord(b)) for row, same in rows for a, b in zip(row, same, strict=True))
    return f"a number by {most} levels" if most > 1 else ""


def write(file: AspectsFile, path: Path) -> None:
    whole = msgspec.json.encode(msgspec.structs.replace(file, weights={})).decode().removesuffix("{}}")
    lines = [msgspec.json.encode({name: row}).decode()[1:-1] for name, row in file.weights.items()]
    path.write_text(whole + "{\n" + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


def leave_out() -> None:
    """Of each tenth of the lines, how often its likeliest kind is the one asked, and how often where it is sure."""
    results = list[tuple[float, bool]]()
    for others, part in linear.folds(texts()):
        file = train(others)
        for line in part:
            chances = file.chances(holds(line))
            kind = max(chances, key=chances.__getitem__)
            results.append((chances[kind], kind == line.aspect))
    for least in (0, 0.5, 0.6, 0.7, 0.9):
        sure = [right for chance, right in results if chance >= least]
        print(f"chances of {least}: {len(sure)} of {len(results)} lines, right {sum(sure) / len(sure):.3f}")


def main(command: str, about: str, path: Path, make: Callable[[], AspectsFile], leave_out: Callable[[], None]) -> int:
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


if __name__ == "__main__":
    sys.exit(main(COMMAND, __doc__ or "", FILE, lambda: train(texts()), leave_out))
