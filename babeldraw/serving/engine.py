"""The threads that run the models: pictures that wait are put together into batches.

A batch is of one model and one kind of picture, and of one of a few sizes, each of which is a
compiled program. Between the pieces in which it is drawn it is looked at for those who watch, and
given up where nobody waits any more.
"""

import contextlib
import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from babeldraw.sampling.pieces import Batch, PieceSampler, Wanted
from babeldraw.serving import refusals
from babeldraw.serving.metrics import Metrics

PIECES = 16
"""In so many a picture is drawn: after each of them one may look at it, or give it up."""
STRETCH_SECONDS = 0.02
"""As many pieces as take so long are drawn without a stop where nobody looks: a stop takes 1 ms."""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class Drawn(NamedTuple):
    """A finished picture."""

    image: UInt8[np.ndarray, "height width 3"]
    tokens: Int32[np.ndarray, "n"]
    score: float


class Part(NamedTuple):
    """A picture so far.

    Attributes:
      drawn: which tokens are there; the picture is nothing elsewhere.
    """

    image: UInt8[np.ndarray, "height width 3"]
    drawn: Bool[np.ndarray, "n"]


@dataclasses.dataclass(eq=False)
class Job:
    """A picture that is asked for. Cancelling its future takes it back, at any time.

    Attributes:
      until: by `time.monotonic`, when nobody waits any more.
      on_part: called by the engine with the picture so far, `looks` times, evenly spread.
    """

    name: str
    pieces: PieceSampler
    wanted: Wanted
    until: float
    looks: int = 0
    on_part: Callable[[Part], None] | None = None
    future: "Future[Drawn]" = dataclasses.field(default_factory=Future)

    @property
    def kind(self) -> tuple[Any, ...]:
        """What goes into one batch."""
        return self.name, self.wanted.kind

    def looked_at(self, piece: int) -> bool:
        """Whether the picture is shown after so many pieces, the last one apart."""
        return self.on_part is not None and (
            piece * (self.looks + 1) // PIECES > (piece - 1) * (self.looks + 1) // PIECES
        )


class Engine:
    """Draws, and does whatever else the models do.

    A batch is drawn beside another one where it is full and there is a thread for it: on CPUs,
    whose cores wait for each other within a batch while answers are written. An accelerator would
    do one after the other anyway, and hold both.

    Attributes:
      sizes: of batches, ascending.
      limit: pictures that may wait.
      seconds: that a request may take.
      threads: batches that may be drawn beside each other.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        limit: int,
        seconds: float,
        metrics: Metrics,
        threads: int = 1,
    ) -> None:
        self.sizes, self.limit, self.seconds = tuple(sizes), limit, seconds
        self.threads = threads
        self._metrics = metrics
        self._jobs: deque[Job] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._drawing = 0
        self._seconds_a_picture = 0.1
        self._threads = [
            threading.Thread(target=self._run, name=f"engine-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queues all of them, or none.

        Raises:
          Refusal: there is no room, or the server ends.
        """
        with self._changed:
            if self._closing:
                raise refusals.closing()
            if len(self._jobs) + len(jobs) > self.limit:
                self._forget()
            if len(self._jobs) + len(jobs) > self.limit:
                raise refusals.busy(self._wait())
            self._jobs.extend(jobs)
            self._metrics.waiting.set(len(self._jobs))
            self._changed.notify()

    def call(self, function: Callable[[], Result]) -> "Future[Result]":
        """Runs `function` in a thread of the engine, before what waits to be drawn.

        Raises:
          Refusal: as many calls wait as pictures may, or the server ends.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closing:
                raise refusals.closing()
            if len(self._calls) >= self.limit:
                raise refusals.busy(self._wait())
            self._calls.append((function, future))
            self._changed.notify()
        return future

    def close(self, seconds: float | None = None) -> bool:
        """Takes nothing more, finishes what is there, and says whether it is done in time."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        until = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def is_alive(self) -> bool:
        """Whether it works."""
        return not self._closing and all(thread.is_alive() for thread in self._threads)

    def _wait(self) -> int:
        return max(1, round(len(self._jobs) * self._seconds_a_picture))

    def _forget(self) -> None:
        """Drops what nobody waits for any more."""
        now = time.monotonic()
        kept: deque[Job] = deque()
        for job in self._jobs:
            if not job.future.cancelled() and job.until < now:
                _fail(job, refusals.late(self.seconds))
            if job.future.done():
                self._metrics.given_up.inc()
            else:
                kept.append(job)
        self._jobs = kept
        self._metrics.waiting.set(len(kept))

    def _run(self) -> None:
        while self._is_wanted():
            self._answer_calls()
            if batch := self._take():
                self._draw(batch)
                with self._changed:
                    self._drawing -= 1
                    self._changed.notify_all()

    def _is_wanted(self) -> bool:
        """Waits for work, and says whether there is any: at the end there is not."""
        with self._changed:
            while not (self._calls or self._may_begin()):
                if self._closing and not self._jobs:
                    return False
                self._changed.wait()
            return True

    def _may_begin(self) -> bool:
        if not self._jobs or not self._drawing:
            return bool(self._jobs)
        kind = self._jobs[0].kind
        return sum(job.kind == kind for job in self._jobs) >= self.sizes[-1]

    def _answer_calls(self) -> None:
        while True:
            with self._changed:
                if not self._calls:
                    return
                function, future = self._calls.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

    def _take(self) -> list[Job]:
        """The first that waits, and those behind it that fit."""
        with self._changed:
            self._forget()
            if not self._may_begin():
                return []
            self._drawing += 1
            kind = self._jobs[0].kind
            taken: list[Job] = []
            left: deque[Job] = deque()
            for job in self._jobs:
                fits = job.kind == kind and len(taken) < self.sizes[-1]
                (taken if fits else left).append(job)
            self._jobs = left
            self._metrics.waiting.set(len(left))
            return taken

    def _draw(self, jobs: list[Job]) -> None:
        start = time.monotonic()
        try:
            size = next(size for size in self.sizes if size >= len(jobs))
            pieces = jobs[0].pieces
            batch = pieces.begin([job.wanted for job in jobs], size)
            if not self._pieces(jobs, pieces, batch):
                self._metrics.given_up.inc(len(jobs))
                return
            finished = zip(jobs, batch.images, batch.tokens, batch.scores, strict=True)
            for job, image, row, score in finished:
                if job.future.cancelled():
                    self._metrics.given_up.inc()
                    continue
                _give(job, Drawn(image, row, float(score)))
                self._metrics.pictures.labels(job.name).inc()
        except Exception as error:
            _log.exception("a batch of %d pictures failed", len(jobs))
            for job in jobs:
                _fail(job, error)
            return
        seconds = time.monotonic() - start
        self._metrics.batch.observe(len(jobs))
        self._metrics.drawing_seconds.observe(seconds)
        self._seconds_a_picture += 0.2 * (seconds / len(jobs) - self._seconds_a_picture)

    def _pieces(self, jobs: list[Job], pieces: PieceSampler, batch: Batch) -> bool:
        """Draws to the end; false where it is given up."""
        piece, stretch = 0, 1
        while piece < PIECES:
            now = time.monotonic()
            for job in jobs:
                if job.until < now:
                    _fail(job, refusals.late(self.seconds))
            if all(job.future.done() for job in jobs):
                return False
            before, piece = piece, _stop(jobs, piece, stretch)
            end = -(-pieces.num_steps * piece // PIECES)
            if end > batch.done:
                batch.advance(end - batch.done)
                rate = (piece - before) / (time.monotonic() - now)
                stretch = max(1, int(rate * STRETCH_SECONDS))
            self._answer_calls()
            if piece < PIECES:
                self._show(jobs, pieces, batch, piece)
        return True

    def _show(self, jobs: list[Job], pieces: PieceSampler, batch: Batch, piece: int) -> None:
        for row, job in enumerate(jobs):
            if job.on_part is not None and job.looked_at(piece) and not job.future.done():
                (image,) = pieces.decode(batch.tokens[row : row + 1])
                job.on_part(Part(image, batch.drawn[row]))


def _stop(jobs: list[Job], piece: int, stretch: int) -> int:
    """The piece after which is stopped next: where somebody looks, or after the stretch."""
    stops = range(piece + 1, min(piece + stretch, PIECES))
    return next(
        (stop for stop in stops if any(job.looked_at(stop) for job in jobs)),
        min(piece + stretch, PIECES),
    )


def _give(job: Job, drawn: Drawn) -> None:
    with contextlib.suppress(InvalidStateError):  # taken back meanwhile
        job.future.set_result(drawn)


def _fail(job: Job, error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):
        job.future.set_exception(error)
