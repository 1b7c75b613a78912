"""Alarms of a run: printed, and kept in model_dir/alarms.jsonl for reports.

A line is `{"step", "kind", "message"}`. Those of an evaluation come again at each at which they are
still true, those of the data at each start, with the step that it starts from.
"""

from collections.abc import Iterable

import jax
from etils import epath

from babeldraw.objectives.alarms import Alarm, Plan
from babeldraw.objectives.base import Objective
from babeldraw.training.keeping.manifest import read_manifest
from babeldraw.training.state import TrainState
from babeldraw.training.watching.curves import read_series
from babeldraw.training.watching.metrics import append, keep_until

NAME = "alarms.jsonl"


def pictures_of(directory: epath.Path) -> int | None:
    """How many pictures the run is trained on, by its manifest."""
    manifest = read_manifest(directory)
    data = None if manifest is None else manifest.data
    return None if data is None else data.get("pictures")


class RaiseAlarms:
    """What the objective has to say of what was recorded. A hook, to come after `Evaluate`."""

    def __init__(
        self, every: int, objective: Objective, plan: Plan, directory: epath.Path, start_step: int
    ) -> None:
        self.every = every
        self._objective, self._plan, self._directory = objective, plan, directory
        if jax.process_index() == 0:
            keep_until(directory / NAME, start_step)

    def of_data(self, step: int, captions: Iterable[str]) -> None:
        """Before the first step; `captions` are some of the training pictures'."""
        if jax.process_index() == 0:
            self._raise(step, self._objective.alarms_of_data(self._plan, list(captions)))

    def __call__(self, step: int, state: TrainState) -> None:
        """After an evaluation."""
        if jax.process_index() == 0:
            history = read_series(self._directory / "metrics.jsonl")
            self._raise(step, self._objective.alarms(history, self._plan))

    def _raise(self, step: int, alarms: Iterable[Alarm]) -> None:
        for alarm in alarms:
            print(f"alarm at step {step}: {alarm.message}", flush=True)
            append(
                self._directory / NAME,
                {"step": step, "kind": alarm.kind, "message": alarm.message},
            )
