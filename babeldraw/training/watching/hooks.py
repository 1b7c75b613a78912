"""What happens every so many steps. A hook has `every` and is called with (step, state)."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import jax
import numpy as np
from etils import epath

from babeldraw.errors import UserError
from babeldraw.objectives.base import Constants, Objective
from babeldraw.training.batches import BatchLayout, HostBatch
from babeldraw.training.keeping.saving import Checkpoints
from babeldraw.training.state import EVALUATION_STEP, PICTURES_STEP, TrainState, step_key
from babeldraw.training.watching.curves import write_curves
from babeldraw.training.watching.hosts import SlowestHost
from babeldraw.training.watching.metrics import Writer
from babeldraw.training.watching.pictures import write_grid
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
class FixedBatches:
    """The first `limit` batches of a dataset, the same at each use. Read when first needed."""

    dataset: BatchSource
    limit: int
    layout: BatchLayout

    def load(self) -> None:
        """Reads them now, so that a split that does not exist is said before the first step."""
        self._host  # noqa: B018

    @functools.cached_property
    def _host(self) -> list[HostBatch]:
        batches: list[HostBatch] = []
        source = self.dataset.batches(
            process_index=self.layout.share.index,
            process_count=self.layout.share.count,
            num_epochs=1,
        )
        for batch in source:
            batches.append(batch)
            if len(batches) == self.limit:
                break
        if not batches:
            raise UserError(
                "The evaluation dataset has less than one batch: lower its batch_size or use "
                "another split."
            )
        return batches

    def __iter__(self) -> Iterator[Mapping[str, jax.Array]]:
        return (self.layout.to_global(batch) for batch in self._host)


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """What a run is looked at with: the same batches and keys every time.

    Attributes:
      constants: of the objective, on the devices.
      seed: of the run.
      out_sharding: of what is computed, such as a whole copy on every device.
    """

    objective: Objective
    constants: Constants
    batches: FixedBatches
    seed: int
    out_sharding: jax.sharding.Sharding

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A traceable method of the objective: `(params, constants, batch, key) -> arrays`."""
        # A bound method would be hashed with its objective, which may hold a dict.
        return jax.jit(lambda *inputs: function(*inputs), out_shardings=self.out_sharding)


class Evaluate:
    """Means of the objective's held-out metrics over all its fixed batches."""

    def __init__(self, every: int, held_out: HeldOut, write: Writer) -> None:
        self.every = every
        self._held_out, self._write = held_out, write
        self._key = step_key(held_out.seed, EVALUATION_STEP)
        self._evaluate = held_out.compiled(held_out.objective.evaluate)

    def __call__(self, step: int, state: TrainState) -> None:
        """Writes an `eval` record."""
        constants, objective = self._held_out.constants, self._held_out.objective
        results = [
            self._evaluate(state.params, constants, batch, jax.random.fold_in(self._key, index))
            for index, batch in enumerate(self._held_out.batches)
        ]
        fetched = jax.device_get(results)
        means = {name: np.mean([r[name] for r in fetched], axis=0) for name in fetched[0]}
        values = objective.summarize(means)
        self._write(step, "eval", values)
        if jax.process_index() == 0:
            for alarm in objective.alarms(values):
                print(f"alarm at step {step}: {alarm}", flush=True)


class SavePictures:
    """The objective's sheets for the first fixed batch: model_dir/pictures/NAME-000500.png."""

    def __init__(self, every: int, held_out: HeldOut, directory: epath.Path) -> None:
        self.every = every
        self._held_out, self._directory = held_out, directory
        self._key = step_key(held_out.seed, PICTURES_STEP)
        self._pictures = held_out.compiled(held_out.objective.pictures)

    def __call__(self, step: int, state: TrainState) -> None:
        """Writes each sheet."""
        batch = next(iter(self._held_out.batches))
        sheets = self._pictures(state.params, self._held_out.constants, batch, self._key)
        if jax.process_index() == 0:
            for name, images in sheets.items():
                write_grid(self._directory / f"{name}-{step:06d}.png", np.asarray(images))


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
