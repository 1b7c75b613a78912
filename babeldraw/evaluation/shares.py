"""Intervals of shares, such as of right answers."""

import math

NORMAL = 1.959964
"""97.5% quantile of the normal distribution."""


def wilson(share: float, count: float) -> tuple[float, float]:
    """The 95% interval of a share of `count` independent draws (Wilson 1927).

    Unlike the normal one it stays within [0, 1], and has a width where all draws are alike.
    """
    square = NORMAL**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    half = NORMAL / (1 + square / count) * spread
    return max(0.0, middle - half), min(1.0, middle + half)
