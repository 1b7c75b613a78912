"""Frechet distance between two sets of feature vectors, each taken as a Gaussian.

The formula of FID (arXiv 1706.08500). On other features than Inception's the numbers are no FID;
and their bias falls with the number of vectors, so compare at equal counts, and print the count.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from babeldraw.errors import UserError


@dataclasses.dataclass
class FeatureStatistics:
    """Mean and covariance of vectors that come batch by batch, in float64."""

    dimension: int
    count: int = 0

    def __post_init__(self) -> None:
        self.mean = np.zeros(self.dimension)
        self._scatter = np.zeros((self.dimension, self.dimension))

    def add(self, features: Float[np.ndarray, "n dimension"]) -> None:
        """Takes in vectors: the batches' own means and scatters are merged (Chan et al. 1979).

        Unlike sums of squares, that loses nothing where the mean is far from 0.
        """
        features = np.asarray(features, np.float64)
        if not len(features):
            return
        mean = features.mean(axis=0)
        centred = features - mean
        self._merge(len(features), mean, centred.T @ centred)

    def merge(self, other: "FeatureStatistics") -> None:
        """Takes in what another gathered, as if its vectors had been added here.

        Raises:
          ValueError: it is of vectors of another dimension.
        """
        if other.dimension != self.dimension:
            raise ValueError(f"{other.dimension} dimensions merged into {self.dimension}")
        if other.count:
            self._merge(other.count, other.mean, other._scatter)

    @property
    def state(self) -> Float[np.ndarray, "_ dimension"]:
        """All that was gathered, to be sent to another process: see `from_state`."""
        count = np.full((1, self.dimension), float(self.count))
        return np.concatenate([count, self.mean[None], self._scatter])

    @classmethod
    def from_state(cls, state: Float[np.ndarray, "_ dimension"]) -> "FeatureStatistics":
        """What has this `state`."""
        made = cls(state.shape[1])
        made._merge(int(state[0, 0]), state[1], state[2:])
        return made

    def _merge(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> None:
        total = self.count + count
        if not total:
            return
        apart = mean - self.mean
        self._scatter += scatter
        self._scatter += np.outer(apart, apart) * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total

    @property
    def covariance(self) -> Float[np.ndarray, "dimension dimension"]:
        """The unbiased estimate.

        Raises:
          UserError: fewer than two vectors were added.
        """
        if self.count < 2:
            raise UserError(
                f"A Frechet distance needs at least two pictures a side, but one has {self.count}: "
                "evaluate more pictures."
            )
        return self._scatter / (self.count - 1)


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """`|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`.

    The last trace is the sum of the singular values of `F_a^T F_b`, where `F F^T = C`. So nothing
    is complex, and fewer vectors than dimensions do no harm.

    Raises:
      UserError: a side has fewer than two vectors.
    """
    shared = np.linalg.svd(_factor(a).T @ _factor(b), compute_uv=False).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared
    # The spread is never negative but for rounding.
    return float(np.sum(np.square(a.mean - b.mean)) + max(spread, 0.0))


def frechet_to(
    reference: FeatureStatistics,
) -> Callable[[Float[np.ndarray, "n dimension"]], float]:
    """`frechet_distance` of vectors to one side, for many of the former: to some 1e-5 of it.

    With the factor `F` of the side's covariance once for all, and the centred vectors `X`, the last
    trace is the sum of the singular values of `X F` over the root of n - 1. They come of the
    smaller of its two products with itself, in which the least ones are lost in rounding.

    Raises:
      UserError: the side has fewer than two vectors.
    """
    factor, spread = _factor(reference), np.trace(reference.covariance)

    def distance(features: np.ndarray) -> float:
        features = features.astype(np.float64)
        mean = features.mean(axis=0)
        centred = (features - mean) / (len(features) - 1) ** 0.5
        product = centred @ factor
        wide = product.shape[0] < product.shape[1]
        values = np.linalg.eigvalsh(product @ product.T if wide else product.T @ product)
        shared = np.sqrt(np.maximum(values, 0)).sum()
        apart = np.sum(np.square(mean - reference.mean))
        return float(apart + spread + np.sum(np.square(centred)) - 2 * shared)

    return distance


def _factor(of: FeatureStatistics) -> Float[np.ndarray, "dimension rank"]:
    """`F` with `F F^T` the covariance, whose rank is below the number of vectors."""
    values, vectors = np.linalg.eigh(of.covariance)
    rank = min(of.count - 1, of.dimension)
    factor: np.ndarray = vectors[:, -rank:] * np.sqrt(np.maximum(values[-rank:], 0.0))
    return factor
