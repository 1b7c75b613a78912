"""Which host the others wait for."""

from collections.abc import Callable

import jax
import numpy as np


class SlowestHost:
    """Of all hosts, the one whose steps waited longest for its data.

    Hosts take each step together, so that the time of a step is the same on all of them. What a
    host adds to it of its own is the time that it has no batch ready.
    """

    def __init__(self, waited: Callable[[], float]) -> None:
        """`waited` gives the seconds that this host has waited for data so far."""
        self._waited = waited
        self._before = 0.0

    def since_last(self) -> dict[str, float]:
        """`slowest_host`, its index, and `slowest_host_wait`, in seconds. For all to call."""
        total = self._waited()
        waits = np.array([total - self._before], np.float32)
        self._before = total
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            waits = np.asarray(multihost_utils.process_allgather(waits)).ravel()
        slowest = int(waits.argmax())
        return {"slowest_host": float(slowest), "slowest_host_wait": float(waits[slowest])}
