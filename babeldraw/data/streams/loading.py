"""Examples read by a bounded pool of threads, in order, some ahead of those that are asked for.

No `tf.data` iterator stands behind it: one that calls Python waits for the interpreter when it is
destroyed, which Python does while it holds the interpreter.
"""

import collections
import concurrent.futures
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

THREADS = min(32, (os.cpu_count() or 1) + 4)
"""For all streams of a process together: Pillow and TensorFlow work outside the interpreter."""


@functools.cache
def _pool() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(THREADS, "pictures")


def in_order(read: Callable[[int], T], positions: Iterable[int], ahead: int) -> Iterator[T]:
    """`read` of each position, `ahead` of them begun before the first is asked for.

    What `read` raises is raised here, at its place.
    """
    begun: collections.deque[concurrent.futures.Future[T]] = collections.deque()
    try:
        for position in positions:
            begun.append(_pool().submit(read, position))
            if len(begun) > ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
