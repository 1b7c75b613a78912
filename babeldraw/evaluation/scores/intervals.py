"""Intervals of numbers that are no mean over pictures, from disjoint groups of the drawn ones.

They say how far another draw of as many pictures would move the number, the real ones being given.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from babeldraw.evaluation.frechet import FeatureStatistics, frechet_to

GROUPS = 10
STUDENT = {10: 2.262, 9: 2.306, 8: 2.365, 7: 2.447, 6: 2.571, 5: 2.776, 4: 3.182, 3: 4.303}
"""97.5% quantile of Student's t by the number of groups, one more than the degrees of freedom."""

Interval = tuple[float, float] | None


def groups(features: Float[np.ndarray, "n dimension"]) -> list[Float[np.ndarray, "part dimension"]]:
    """Ten of about one size, drawn with a fixed seed; fewer where one would have less than two."""
    order = np.random.default_rng(0).permutation(len(features))
    count = min(GROUPS, len(features) // 2)
    return [features[part] for part in np.array_split(order, count)] if count else []


def of_groups(value: float, by_group: Sequence[float]) -> Interval:
    """Of a mean over independent groups; None for fewer than three."""
    if len(by_group) not in STUDENT:
        return None
    return _around(value, float(np.std(by_group, ddof=1)) / len(by_group) ** 0.5, len(by_group))


def of_frechet(
    value: float, drawn: Float[np.ndarray, "n dimension"], real: FeatureStatistics
) -> Interval:
    """By the jackknife: the distance with each group left out (Efron and Stein 1981)."""
    parts = groups(drawn)
    if len(parts) not in STUDENT:
        return None
    distance = frechet_to(real)
    kept = (parts[:index] + parts[index + 1 :] for index in range(len(parts)))
    without = [distance(np.concatenate(others)) for others in kept]
    spread = float(np.sum(np.square(np.array(without) - np.mean(without))))
    low, high = _around(value, (spread * (len(parts) - 1) / len(parts)) ** 0.5, len(parts))
    return max(low, 0.0), high


def _around(value: float, standard_error: float, count: int) -> tuple[float, float]:
    half = STUDENT[count] * standard_error
    return value - half, value + half
