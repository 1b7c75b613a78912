"""Does a long run keep its memory? A tiny objective, 10,000 steps through the whole loop.

    python -m benchmarks.memory [--steps 10000] [--output runs/memory]

With log lines, evaluations, curves and checkpoints at a thousand-step run's rates. Prints the
process's resident memory every 1,000 steps, and the slope from the second thousand on, when the
caches of JAX, Orbax and matplotlib have filled.
"""

import argparse
import dataclasses
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from babeldraw.objectives.base import Objective, Player
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine

WIDTH = 32
PAGE = os.sysconf("SC_PAGESIZE")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line(Objective):
    """Least squares."""

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {"x": jax.ShapeDtypeStruct((batch_size, WIDTH), jnp.float32)}

    def init(self, key: jax.Array) -> dict[str, Any]:
        return {"line": {"kernel": jax.random.normal(key, (WIDTH, WIDTH))}}

    def players(self) -> tuple[Player, ...]:
        return (Player("line", self._loss, optax.adam(1e-3), 1e-3),)

    def _loss(self, own, everyone, constants, batch, key, step):  # type: ignore[no-untyped-def]
        return jnp.mean((batch["x"] @ own["kernel"] - batch["x"]) ** 2), {}

    def evaluate(self, params, constants, batch, key):  # type: ignore[no-untyped-def]
        return {"loss": self._loss(params["line"], params, constants, batch, key, 0)[0]}


@dataclasses.dataclass(frozen=True)
class Noise:
    """Batch i is drawn from a generator seeded with i."""

    batch_size: int = 16

    def batches(
        self,
        *,
        process_index: int = 0,
        process_count: int = 1,
        start_step: int = 0,
        num_epochs: int | None = None,
    ) -> Iterator[dict[str, np.ndarray]]:
        """As `data.pipeline.Dataset.batches`, for one process."""
        step = start_step
        while num_epochs is None or step < num_epochs * 8:
            x = np.random.default_rng(step).normal(size=(self.batch_size, WIDTH))
            yield {"x": x.astype(np.float32)}
            step += 1


def resident_mib() -> float:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def main() -> int:
    """Trains and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--output", default="runs/memory")
    args = parser.parse_args()
    shutil.rmtree(args.output, ignore_errors=True)
    steps, sizes = [], []

    def look(step: int, split: str, values: dict[str, float]) -> None:
        if split == "train" and step % 1000 == 0:
            steps.append(step)
            sizes.append(resident_mib())
            print(f"step {step}: {sizes[-1]:.1f} MiB resident", flush=True)

    train(
        Line(),
        model_dir=args.output,
        train_dataset=Noise(),
        eval_dataset=Noise(),
        train_steps=args.steps,
        machine=Machine(checkpoint_every=200),
        log_every=50,
        eval_every=500,
        on_metrics=look,
    )
    if len(steps) > 3:
        slope = np.polyfit(steps[1:], sizes[1:], 1)[0]
        print(f"slope from step {steps[1]} on: {1000 * slope:+.2f} MiB a thousand steps")
    return 0


if __name__ == "__main__":
    sys.exit(main())
