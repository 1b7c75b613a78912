"""Batches made ready while the steps before them still run."""

import queue
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self


class Prefetch:
    """Iterates over batches that a background thread makes: `depth` ahead, and one in the making.

    A context manager: leaving it stops the thread. An exception of the source is raised by
    `next`, after the batches that came before it.
    """

    def __init__(self, batches: Iterator[Any], depth: int = 2) -> None:
        self._source = batches
        self._queue: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(depth)
        self._ended: BaseException | None = None
        self.waited = 0.0
        """Seconds that `next` has waited for batches so far."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)
        self._thread.start()

    def _fill(self) -> None:
        try:
            for batch in self._source:
                if not self._put((batch, None)):
                    return
            self._put((None, StopIteration()))
        except BaseException as error:  # handed to the reader
            self._put((None, error))

    def _put(self, item: tuple[Any, BaseException | None]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if self._ended is None:
            began = time.perf_counter()
            batch, self._ended = self._queue.get()
            self.waited += time.perf_counter() - began
            if self._ended is None:
                return batch
        raise self._ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=10 if kind is None else 1)  # Its source may hang.
