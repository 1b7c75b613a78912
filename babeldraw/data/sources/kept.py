"""Decoded pictures of small sets, kept in memory: the second pass decodes nothing.

Of a folder of drawings and photographs decoding costs several times what a small network's step
does. What is kept has the bits of what is read; a file that changes is seen by the next process.
"""

import threading
from collections.abc import Callable, Hashable

import numpy as np
from jaxtyping import UInt8

SMALL = 20_000
"""Pictures: larger sets are not kept, since a pass takes long."""

BUDGET = 2**30
"""Bytes, of all sets of a process together. What comes when they are used up is read anew."""


class Kept:
    """Pictures by where they are. Several threads may use one."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._left = budget
        self._pictures: dict[Hashable, UInt8[np.ndarray, "height width 3"]] = {}
        self._lock = threading.Lock()

    def get(
        self, key: Hashable, read: Callable[[], UInt8[np.ndarray, "height width 3"]]
    ) -> UInt8[np.ndarray, "height width 3"]:
        """What `read` gives, or gave before; not to be written to.

        Raises what `read` raises, each time.
        """
        if (picture := self._pictures.get(key)) is not None:
            return picture
        picture = read()
        with self._lock:
            if key not in self._pictures and picture.nbytes <= self._left:
                self._left -= picture.nbytes
                picture.setflags(write=False)
                self._pictures[key] = picture
        return picture


KEPT = Kept()
"""Of all sources: a set is looked at, tried and trained on under several tasks."""
