"""Learning-rate schedules: plain functions of the step, after optax."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax

from babeldraw.errors import UserError


def warmup_cosine(
    peak: float, warmup_steps: int, total_steps: int, final: float = 0.0
) -> optax.Schedule:
    """Linear from 0 to `peak`, then a half cosine to `final` (ViT-VQGAN: 1e-4 to 5e-5)."""
    if warmup_steps >= total_steps:
        raise UserError(
            f"The learning rate warms up over {warmup_steps} steps but the run has {total_steps}; "
            "raise TRAIN_STEPS or lower warmup_steps."
        )
    return optax.warmup_cosine_decay_schedule(0.0, peak, warmup_steps, total_steps, final)


def warmup_exponential(
    peak: float,
    warmup_steps: int = 5_000,
    decay_start: int = 85_000,
    decay_end: int = 450_000,
    final_ratio: float = 0.025,
) -> optax.Schedule:
    """Linear warm-up, constant, exponential decay to `final_ratio * peak` (patent, stage 2)."""
    decay = optax.exponential_decay(
        peak, decay_end - decay_start, final_ratio, end_value=final_ratio * peak
    )
    return optax.join_schedules(
        [optax.linear_schedule(0.0, peak, warmup_steps), optax.constant_schedule(peak), decay],
        [warmup_steps, decay_start],
    )


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
