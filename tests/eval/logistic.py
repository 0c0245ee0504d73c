"""Logistic regression in which every class counts alike: the one minimum of its loss, wherever the search begins."""

import numpy as np
import numpy.typing as npt

RIDGE = 0.01
"""What a squared weight costs, half of it, beside the mean loss of a view."""

# The minimum is reached where no slope is steeper: from there to flatter ones a weight moves by less than it is rounded.
_FLAT = 1e-6
_MOST_STEPS = 2000
# About the curvature of a class's loss where chances are even: it makes all directions alike steep, and the search short.
_CURVATURE = 0.08

Floats = npt.NDArray[np.float64]


def fit(scaled: Floats, classes: npt.NDArray[np.int64], count: int) -> tuple[Floats, Floats]:
    """Weights [features, count] and biases [count] for features [n, features] of mean 0 and spread 1.

    Raises:
        ValueError: the search has not come to the minimum.
    """
    from scipy.optimize import minimize  # half a second, which only who trains should wait

    size = scaled.shape[1]
    views = np.bincount(classes, minlength=count)
    weight = (1 / np.maximum(views, 1) / (views > 0).sum())[classes]
    wanted = np.eye(count)[classes]
    steep, directions = np.linalg.eigh(_CURVATURE * (scaled * weight[:, None]).T @ scaled + RIDGE * np.eye(size))
    back = directions / np.sqrt(steep)
    turned, cost = scaled @ back, RIDGE * back.T @ back

    def loss(numbers: Floats) -> tuple[float, Floats]:
        weights, bias = numbers[:-count].reshape(size, count), numbers[-count:]
        sums = turned @ weights + bias
        sums -= sums.max(axis=1, keepdims=True)
        chances = np.exp(sums)
        total = chances.sum(axis=1, keepdims=True)
        off = (chances / total - wanted) * weight[:, None]
        ridge = cost @ weights
        value = weight @ (np.log(total[:, 0]) - (sums * wanted).sum(axis=1)) + (weights * ridge).sum() / 2
        return float(value), np.concatenate([(turned.T @ off + ridge).ravel(), off.sum(axis=0)])

    found = minimize(
        loss,
        np.zeros((size + 1) * count),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MOST_STEPS, "maxfun": 2 * _MOST_STEPS, "gtol": _FLAT, "ftol": 0, "maxcor": 20},
    )
    if np.abs(found.jac).max() > _FLAT:
        raise ValueError(f"the regression stopped before its minimum: {found.message}")
    return back @ found.x[:-count].reshape(size, count), found.x[-count:]
