"""Stopping when told to, with nothing lost: SIGTERM, as schedulers send it before they kill."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import jax


class StopRequest:
    """A context manager within which SIGTERM is noted and no longer ends the process.

    In a run of one process a second SIGTERM does end it. In a run of several, JAX notes the signal
    and makes all of them agree on a step, whichever of them got it; a second one changes nothing.
    """

    def __init__(self) -> None:
        self._received = False
        self._previous: Any = None

    def reached(self, step: int) -> bool:
        """Whether to stop now; to be asked once a step, by all processes.

        Args:
          step: the one about to be taken.
        """
        if jax.process_count() > 1:
            from jax.experimental import multihost_utils

            return multihost_utils.reached_preemption_sync_point(step)
        return self._received

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received = True
        signal.signal(signal.SIGTERM, self._previous)

    def __enter__(self) -> Self:
        # Python allows handlers in the main thread alone; JAX has its own where processes are many.
        if threading.current_thread() is threading.main_thread() and jax.process_count() == 1:
            self._previous = signal.getsignal(signal.SIGTERM)
            if self._previous is not None:  # None: set by something that is not Python.
                signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
