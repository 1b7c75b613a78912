"""Kernel distance between two sets of features, unbiased at any count (arXiv 1801.01401).

On Inception's features it is KID: the squared maximum mean discrepancy under the polynomial kernel
`(x y / d + 1)^3`, which may come out a little below 0.
"""

import numpy as np
from jaxtyping import Float

SUBSETS = 100
SUBSET_SIZE = 1000
SEED = 2020
"""torch-fidelity's, whose subsets are drawn here in its order."""

Features = Float[np.ndarray, "n dimension"]


def squared_discrepancy(x: Features, y: Float[np.ndarray, "m dimension"]) -> float:
    """The unbiased estimate: no vector is compared with itself."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    between = _kernel(x, y).mean()
    return float(_within(x) + _within(y) - 2 * between)


def kernel_distance(x: Features, y: Float[np.ndarray, "m dimension"]) -> float:
    """Mean over 100 pairs of random subsets of 1,000, or of as many as the smaller set has."""
    size = subset_size(len(x), len(y))
    if size == len(x) == len(y):  # every subset is all
        return squared_discrepancy(x, y)
    rng = np.random.RandomState(SEED)
    distances = []
    for _ in range(SUBSETS):
        part = x[rng.choice(len(x), size, replace=False)]
        other = y[rng.choice(len(y), size, replace=False)]
        distances.append(squared_discrepancy(part, other))
    return float(np.mean(distances))


def subset_size(n: int, m: int) -> int:
    """Of sets of these sizes."""
    return min(SUBSET_SIZE, n, m)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    values: np.ndarray = (x @ y.T / x.shape[1] + 1) ** 3
    return values


def _within(x: np.ndarray) -> float:
    values = _kernel(x, x)
    return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))
