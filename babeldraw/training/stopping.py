"""Stopping when told to, with nothing lost: by SIGTERM, as schedulers send it before they kill, or
by Ctrl-C.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

from babeldraw.errors import Stopped
from babeldraw.parallel import failing, processes

GRACE_SECONDS = 20
"""From the signal to the save. Clouds kill 30 s after they have asked."""

SAVE_SECONDS = 600
"""For the save itself: whoever asked may still wait for it."""

_POLL_SECONDS = 1.0
_NOTICE = "RECEIVED_PREEMPTION_NOTICE"  # what JAX's preemption service tells all processes


class Interrupted(BaseException):
    """The run is to stop; raised in the middle of what may be left in the middle."""


class StopRequest:
    """A context manager within which SIGTERM and Ctrl-C are noted, and end the process in time.

    What waits can be interrupted (`interrupting`): data, evaluation, and the whole start of a run.
    Where the interpreter does not come to that, as in a long compilation, a thread ends the process
    after `GRACE_SECONDS`: nothing is lost then but what was done since the last checkpoint.

    In a run of one process a second signal ends it at once. In a run of several, JAX notes SIGTERM
    and makes all of them agree on a step, whichever of them got it, and nothing is interrupted
    before; Ctrl-C is handed on as SIGTERM.

    Attributes:
      by_keyboard: whether it was Ctrl-C.
    """

    def __init__(self) -> None:
        self.by_keyboard = False
        self._several = processes.is_joined()
        self._asked = False
        self._at_once = False
        self._saving = False
        self._lock = threading.Lock()
        self._previous: dict[int, Any] = {}
        self._cancel: Callable[[], None] = lambda: None
        self._ended = threading.Event()
        self._stack = contextlib.ExitStack()

    def reached(self, step: int) -> bool:
        """Whether to stop now; to be asked once a step, by all processes.

        Args:
          step: the one about to be taken.
        """
        if self._several:
            from jax.experimental import multihost_utils

            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked

    def started(self) -> None:
        """From here on there is something to save: nothing is interrupted but by `interrupting`."""
        self._at_once = False

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """What is done in it may be left in the middle.

        Raises:
          Interrupted: a signal has come or comes. In a run of one process.
        """
        self._at_once = True
        try:
            if self._asked:
                raise Interrupted
            yield
        finally:
            self._at_once = False

    def saving(self) -> None:
        """The save begins: it may take its time."""
        with self._lock:
            self._saving = True
            self._leave_after(SAVE_SECONDS)

    def stopped(self, what: str) -> Stopped:
        """The exception for the end of the run; `what` says where and what comes next."""
        name = "Ctrl-C" if self.by_keyboard else "SIGTERM"
        return Stopped(f"stopped by {name} {what}", by_keyboard=self.by_keyboard)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._several:
            return
        self.by_keyboard = self.by_keyboard or number == signal.SIGINT
        first, self._asked = not self._asked, True
        if first and self._at_once:
            raise Interrupted

    def _heard(self, number: int, *, before: bool) -> None:
        """In a thread of its own: the main one may be inside something that takes long."""
        self.by_keyboard = self.by_keyboard or number == signal.SIGINT
        if before:
            print("babeldraw: told twice to stop: nothing was saved", file=sys.stderr)
            failing.leave(failing.EXIT_INTERRUPTED if self.by_keyboard else 128 + number)
        if self._several:
            os.kill(os.getpid(), signal.SIGTERM)  # for JAX, which tells the others
        else:
            self._hurry()

    def _hurry(self) -> None:
        with self._lock:
            if not self._saving:
                self._leave_after(GRACE_SECONDS)

    def _leave_after(self, seconds: float) -> None:
        self._cancel()
        code = failing.EXIT_INTERRUPTED if self.by_keyboard else failing.EXIT_STOPPED
        self._cancel = failing.leave_within(
            seconds,
            code,
            "babeldraw: told to stop, and still busy: left without saving; the same command goes "
            "on from the last checkpoint",
        )

    def _listen(self, pipe: int) -> None:
        """Reads the numbers of signals, which Python's handler in C writes at once."""
        heard = False
        while number := os.read(pipe, 1):
            if number[0] in self._previous:
                self._heard(number[0], before=heard)
                heard = True
        os.close(pipe)

    def _listen_to_all(self, client: Any) -> None:
        """Waits until one of several processes has been told to stop."""
        while not self._ended.wait(_POLL_SECONDS):
            with contextlib.suppress(Exception):  # not there yet, or the service has ended
                client.key_value_try_get(_NOTICE)
                self._hurry()
                return

    def _start(self, target: Callable[[Any], None], argument: Any) -> None:
        thread = threading.Thread(target=target, args=[argument], daemon=True)
        thread.start()
        self._stack.callback(thread.join)

    def __enter__(self) -> Self:
        self._stack.callback(lambda: self._cancel())
        if self._several:
            self._start(self._listen_to_all, processes.client())
        self._stack.callback(self._ended.set)
        # Python allows handlers in the main thread alone; JAX has its own where processes are many.
        if threading.current_thread() is threading.main_thread():
            numbers = {signal.SIGINT} if self._several else {signal.SIGINT, signal.SIGTERM}
            for number in numbers:
                if signal.getsignal(number) is not None:  # None: set by something else.
                    self._previous[number] = signal.signal(number, self._note)
            read, write = os.pipe()
            os.set_blocking(write, False)
            self._start(self._listen, read)
            before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
            self._stack.callback(os.close, write)
            self._stack.callback(signal.set_wakeup_fd, before)
        self._at_once = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._stack.close()
        if kind is Interrupted:
            raise self.stopped("while starting; the same command starts again") from None
