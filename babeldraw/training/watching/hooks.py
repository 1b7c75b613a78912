"""What happens every so many steps. A hook has `every` and is called with (step, state)."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Protocol

import jax
from etils import epath

from babeldraw.training.keeping.saving import Checkpoints
from babeldraw.training.state import TrainState
from babeldraw.training.watching.curves import write_curves
from babeldraw.training.watching.hosts import SlowestHost
from babeldraw.training.watching.metrics import Writer
from babeldraw.training.watching.window import MetricWindow


class BatchSource(Protocol):
    """A dataset, as the loop sees it."""

    @property
    def batch_size(self) -> int:
        """Rows of one batch, over all processes."""

    def batches(
        self,
        *,
        process_index: int = 0,
        process_count: int = 1,
        start_step: int = 0,
        num_epochs: int | None = None,
    ) -> Iterator[Any]:
        """This process's rows of each batch, from batch `start_step` on."""


class Hook(Protocol):
    """Called after each step that `every` divides, and after the last; never where it is 0."""

    every: int

    def __call__(self, step: int, state: TrainState) -> None:
        """Acts on the state after `step`, which it must not keep: its arrays are donated."""


def is_due(every: int, step: int, train_steps: int) -> bool:
    """Whether a hook with this `every` runs after `step`."""
    return every > 0 and (step % every == 0 or step == train_steps)


@dataclasses.dataclass
class LogMetrics:
    """Means of the training metrics since the last time."""

    every: int
    window: MetricWindow
    write: Writer
    batch_size: int
    slowest_host: SlowestHost
    seconds_at_peak: float | None = None
    """What a step would take if the devices did nothing but its matrix products, if known."""

    def __call__(self, step: int, state: TrainState) -> None:
        """Writes a `train` record."""
        values = self.window.mean()
        values["images_per_second"] = self.batch_size / values["seconds_per_step"]
        values |= self.slowest_host.since_last()
        if self.seconds_at_peak is not None:
            values["mfu"] = self.seconds_at_peak / values["seconds_per_step"]
        self.write(step, "train", values)


@dataclasses.dataclass
class PlotCurves:
    """All metrics so far: model_dir/curves.png."""

    every: int
    directory: epath.Path

    def __call__(self, step: int, state: TrainState) -> None:
        """Draws the picture again."""
        if jax.process_index() == 0:
            write_curves(self.directory / "metrics.jsonl", self.directory / "curves.png")


@dataclasses.dataclass
class SaveCheckpoint:
    """A checkpoint, written in the background; not while steps are skipped, but for the last one.

    The state may be the cause, and would push the good ones out.
    """

    every: int
    checkpoints: Checkpoints
    window: MetricWindow
    train_steps: int

    def __call__(self, step: int, state: TrainState) -> None:
        """Starts the writing."""
        if step == self.train_steps or not self.window.skipped_in_a_row:
            self.checkpoints.save(step, state)
