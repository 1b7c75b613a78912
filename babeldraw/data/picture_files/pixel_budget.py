"""A bound on what all threads together decode at once, since one picture may be large."""

import contextlib
import threading
from collections.abc import Iterator


class PixelBudget:
    """Lets threads decode at once what has `limit` pixels together, or one picture of any size."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """Waits until there is room."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + pixels <= self._limit)
            self._used += pixels
        try:
            yield
        finally:
            with self._changed:
                self._used -= pixels
                self._changed.notify_all()
