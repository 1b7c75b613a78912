"""Classifier-based rejection: of the pictures that are drawn of a class, those are kept that a
classifier takes for it most (the patent's Table 3, from 1.0 of them down to a small share)."""

import math

import numpy as np
from jaxtyping import Float, Int

from babeldraw.errors import UserError


def drawn_for(kept: int, share: float) -> int:
    """How many pictures are drawn so that `kept` of them are the share that is kept."""
    return math.ceil(kept / share - 1e-9)  # 1 / 0.1 is a little more than 10


def keep_best(
    scores: Float[np.ndarray, "prompts samples"], kept: int
) -> Int[np.ndarray, "prompts kept"]:
    """Numbers of the `kept` samples of the highest scores, the highest first; of equals, the first.

    Raises:
      UserError: there are not so many.
    """
    if kept > scores.shape[1]:
        raise UserError(f"{kept} of {scores.shape[1]} pictures cannot be kept; draw more of them.")
    order: np.ndarray = np.argsort(-scores, axis=1, kind="stable")
    return order[:, :kept]
