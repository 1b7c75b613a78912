"""Any number of rows through a compiled program, in batches of one fixed size."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def in_batches(
    program: Callable[[Any, np.ndarray], jax.Array],
    params: Any,
    rows: np.ndarray,
    batch_size: int,
) -> np.ndarray:
    """`program(params, batch)` of all `rows`; the last batch is filled up, so that one compiled
    program serves all. It runs once where there are no rows, for the shape of the result.
    """
    parts = []
    for start in range(0, max(len(rows), 1), batch_size):
        batch = rows[start : start + batch_size]
        filled = np.resize(batch, (batch_size, *batch.shape[1:]))
        parts.append(np.asarray(program(params, filled))[: len(batch)])
    return np.concatenate(parts)
