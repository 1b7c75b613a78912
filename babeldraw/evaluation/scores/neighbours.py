"""Precision, recall, density and coverage: whose features lie in whose neighbourhoods.

A set's neighbourhoods are balls around its vectors, each just as far as its k-th nearest other.
Precision and recall are those of arXiv 1904.06991 with k = 3, density and coverage those of arXiv
2002.09797 with k = 5.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

PRECISION_K = 3
DENSITY_K = 5
_BLOCK = 1024

Features = Float[np.ndarray, "n dimension"]


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """A number for each picture, of which each score is the mean.

    Attributes:
      precision: whether a drawn picture lies in a ball of the real ones.
      recall: whether a real picture lies in a ball of the drawn ones.
      density: in how many of the real pictures' balls a drawn one lies, over k.
      coverage: whether the ball of a real picture holds a drawn one.
    """

    precision: Float[np.ndarray, " drawn"]
    recall: Float[np.ndarray, " real"]
    density: Float[np.ndarray, " drawn"]
    coverage: Float[np.ndarray, " real"]


def neighbours(drawn: Features, real: Float[np.ndarray, "m dimension"]) -> Neighbours:
    """Compares each drawn picture with each real one; each side has more than `DENSITY_K`."""
    drawn, real = drawn.astype(np.float64), real.astype(np.float64)
    of_drawn = _radii(drawn, PRECISION_K)
    near, far = _radii(real, PRECISION_K), _radii(real, DENSITY_K)
    precision, density = np.zeros(len(drawn)), np.zeros(len(drawn))
    recall = np.zeros(len(real), bool)
    nearest = np.full(len(real), np.inf)
    for rows, distances in _blocks(drawn, real):
        precision[rows] = (distances <= near).any(axis=1)
        density[rows] = (distances <= far).sum(axis=1) / DENSITY_K
        recall |= (distances <= of_drawn[rows, None]).any(axis=0)
        nearest = np.minimum(nearest, distances.min(axis=0))
    return Neighbours(precision, recall.astype(float), density, (nearest <= far).astype(float))


def _radii(features: np.ndarray, k: int) -> Float[np.ndarray, " n"]:
    """Squared distance of each vector to its k-th nearest other; itself is the first of all."""
    parts = [np.partition(rows, k, axis=1)[:, k] for _, rows in _blocks(features, features)]
    return np.concatenate(parts)


def _blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances, some rows at a time."""
    lengths = np.square(y).sum(axis=1)
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        part = x[rows]
        squares = np.square(part).sum(axis=1)[:, None] + lengths - 2 * part @ y.T
        yield rows, np.maximum(squares, 0)
