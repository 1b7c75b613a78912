"""Scores on several hosts: each goes through its share of the pictures, and all get all numbers."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Shaped

from babeldraw.evaluation.frechet import FeatureStatistics


def share(length: int) -> slice:
    """Which of so many pictures this process goes through, the first ones those of process 0."""
    index, count = jax.process_index(), jax.process_count()
    return slice(length * index // count, length * (index + 1) // count)


def gathered(rows: Shaped[np.ndarray, "rows *row"]) -> Shaped[np.ndarray, "all *row"]:
    """The rows of all processes, in their order and bit by bit; all of them have to call it."""
    if jax.process_count() == 1:
        return rows
    lengths = np.asarray(multihost_utils.process_allgather(np.array([len(rows)], np.int32)))
    most = int(lengths.max())
    row_bytes = rows.dtype.itemsize * int(np.prod(rows.shape[1:], dtype=np.int64))
    # As bytes: JAX would halve what has 64 bits.
    padded = np.zeros((most, row_bytes), np.uint8)
    padded[: len(rows)] = np.frombuffer(rows.tobytes(), np.uint8).reshape(len(rows), row_bytes)
    received = np.asarray(multihost_utils.process_allgather(padded))
    parts = (part[:length] for part, length in zip(received, lengths.ravel(), strict=True))
    whole = np.frombuffer(b"".join(part.tobytes() for part in parts), rows.dtype)
    return whole.reshape(-1, *rows.shape[1:])


def merged(statistics: FeatureStatistics) -> FeatureStatistics:
    """Of the vectors of all processes; all of them have to call it."""
    if jax.process_count() == 1:
        return statistics
    total = FeatureStatistics(statistics.dimension)
    for state in gathered(statistics.state[None]):
        total.merge(FeatureStatistics.from_state(state))
    return total
