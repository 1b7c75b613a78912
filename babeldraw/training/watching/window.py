"""Metrics and time of the steps since the last log line."""

import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from babeldraw.errors import UserError
from babeldraw.training.step import MUST_BE_FINITE, SPIKES

_STEPS_AHEAD = 2


class MetricWindow:
    """Metrics of the steps since the last log line. The device is not waited for at each step.

    Each step gives one vector, which stays on the device until `check` or `mean` fetches it.

    Attributes:
      skipped_in_a_row: how many of the latest checked steps, without one between them that was
        taken, left a player where it was, because its loss or gradient was not finite or a spike.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        max_skipped_in_a_row: int = 1,
        began: float | None = None,
        describe_batch: Callable[[int], str] = lambda step: "",
    ) -> None:
        """The first window begins now.

        Args:
          names: of the vectors' numbers.
          max_skipped_in_a_row: the run stops when so many steps in a row are skipped.
          began: `time.perf_counter()` of the run's start; from it counts the time of which
            `goodput` is a share.
          describe_batch: says what the examples of a step are, for the error.
        """
        self.names = tuple(names)
        kinds = [name.split("/")[-1] for name in self.names]
        self._must_be_finite = np.array([kind in MUST_BE_FINITE for kind in kinds])
        self._spikes = np.array([kind == SPIKES for kind in kinds])
        self._max_skipped = max_skipped_in_a_row
        self._describe_batch = describe_batch
        self._on_device: list[tuple[int, jax.Array]] = []
        self._on_host: list[np.ndarray] = []
        self._started = time.perf_counter()
        self._began = self._started if began is None else began
        self._in_steps = 0.0
        self.skipped_in_a_row = 0
        self._first_skipped = 0

    def add(self, step: int, values: Float[Array, "names"]) -> None:
        """Takes `float32[len(names)]`, and keeps the host at most two steps ahead."""
        self._on_device.append((step, values))
        if len(self._on_device) > _STEPS_AHEAD:
            self._on_device[-1 - _STEPS_AHEAD][1].block_until_ready()

    def check(self) -> None:
        """Fetches all values.

        Raises:
          UserError: too many steps in a row were skipped; names the first of them.
        """
        fetched = jax.device_get([values for _, values in self._on_device])
        for (step, _), values in zip(self._on_device, fetched, strict=True):
            bad = self._skipping(values)
            if not bad.any():
                self.skipped_in_a_row = 0
                continue
            if not self.skipped_in_a_row:
                self._first_skipped = step
            self.skipped_in_a_row += 1
            if self.skipped_in_a_row >= self._max_skipped:
                worst = int(bad.argmax())
                what = f"{self.names[worst]} is {values[worst]}"
                fix = "lower the learning rate, or mend the data,"
                if self._spikes[worst]:
                    what = "loss or gradient is a spike"
                    fix = f"raise SPIKE_FACTOR, {fix}"
                raise UserError(
                    f"Training stopped at step {step}, where {what}; "
                    f"{self.skipped_in_a_row} step(s) in a row had to be skipped, from step "
                    f"{self._first_skipped} on{self._describe_batch(self._first_skipped)}: {fix} "
                    "and run again, which goes on from the last checkpoint."
                )
        self._on_host.extend(fetched)
        self._on_device.clear()

    def mean(self) -> dict[str, float]:
        """Means over the steps since the last call that were not skipped (of all, if all were).

        And `seconds_per_step`, `skipped_steps` with those of them that were `spikes`, and
        `goodput`: the share of the time since the run was started that went into steps, not into
        starting, evaluating or saving.
        """
        self.check()
        steps = np.stack(self._on_host)
        taken = ~np.array([self._skipping(values).any() for values in steps])
        values = (steps[taken] if taken.any() else steps).mean(axis=0, dtype=np.float64)
        values = np.where(self._spikes, steps.sum(axis=0), values)
        now = time.perf_counter()
        seconds = now - self._started
        self._in_steps += seconds
        self._started = now
        self._on_host.clear()
        return {
            "seconds_per_step": seconds / len(steps),
            **dict(zip(self.names, values.tolist(), strict=True)),
            "skipped_steps": float(np.sum(~taken)),
            "goodput": self._in_steps / max(now - self._began, 1e-9),
        }

    def exclude(self, seconds: float) -> None:
        """Leaves time that was not spent on training out of `seconds_per_step` and `goodput`."""
        self._started += seconds

    def _skipping(self, values: np.ndarray) -> np.ndarray:
        """Which of a step's values had a player skip it."""
        bad: np.ndarray = self._must_be_finite & ~np.isfinite(values)
        return bad | (self._spikes & (values > 0))
