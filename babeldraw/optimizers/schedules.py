"""Learning-rate schedules: functions of the step, after optax, that a run can keep as data."""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from babeldraw.errors import UserError
from babeldraw.ranges import Count, Positive, Weight, Whole


@dataclasses.dataclass(frozen=True)
class WarmupCosine:
    """Linear from 0 to `peak`, then a half cosine to `final` (ViT-VQGAN: 1e-4 to 5e-5).

    Raises:
      UserError: the run ends before the rate has warmed up.
    """

    peak: Weight
    warmup_steps: Whole
    total_steps: Count
    final: Weight = 0.0

    def __post_init__(self) -> None:
        if self.warmup_steps >= self.total_steps:
            raise UserError(
                f"The learning rate warms up over {self.warmup_steps} steps but the run has "
                f"{self.total_steps}; raise TRAIN_STEPS or lower warmup_steps."
            )

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        return optax.warmup_cosine_decay_schedule(
            0.0, self.peak, self.warmup_steps, self.total_steps, self.final
        )(step)


@dataclasses.dataclass(frozen=True)
class WarmupExponential:
    """Linear warm-up, constant, exponential decay to `final_ratio * peak` (patent, stage 2)."""

    peak: Weight
    warmup_steps: Whole = 5_000
    decay_start: Whole = 85_000
    decay_end: Whole = 450_000
    final_ratio: Positive = 0.025

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        rise = optax.linear_schedule(0.0, self.peak, self.warmup_steps)
        decay = optax.exponential_decay(
            self.peak,
            self.decay_end - self.decay_start,
            self.final_ratio,
            end_value=self.final_ratio * self.peak,
        )
        return optax.join_schedules(
            [rise, optax.constant_schedule(self.peak), decay],
            [self.warmup_steps, self.decay_start],
        )(step)


warmup_cosine = WarmupCosine
warmup_exponential = WarmupExponential
"""As recipes call them."""


def plot_schedule(schedule: optax.Schedule, steps: int, path: str | os.PathLike[str]) -> None:
    """Writes a PNG of the learning rate at steps 0 to `steps`."""
    # The object-oriented interface needs no display, and leaves pyplot's settings alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    at = np.unique(np.linspace(0, steps, 1001).round().astype(int))
    figure = Figure(figsize=(7, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(at, jax.vmap(lambda step: jnp.asarray(schedule(step), jnp.float32))(at))
    axes.set(xlabel="step", ylabel="learning rate", xlim=(0, steps))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
