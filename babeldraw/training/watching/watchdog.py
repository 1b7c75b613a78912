"""Says where a process hangs, when a step takes far too long."""

import faulthandler
from types import TracebackType
from typing import Self

_STDERR = 2


class Watchdog:
    """A context manager; `beat` is called once a step.

    Where no call comes for `seconds`, the stacks of all threads of this process are written to its
    standard error, once. Every process has its own watchdog, so that a step that hangs in a
    collective operation shows who is not there. The timer is faulthandler's, outside of Python:
    it works where the interpreter is blocked.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def beat(self) -> None:
        """Starts the time anew."""
        if self._seconds > 0:
            faulthandler.dump_traceback_later(self._seconds, file=_STDERR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._seconds > 0:
            faulthandler.cancel_dump_traceback_later()
