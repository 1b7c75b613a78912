"""The toy with int8 moments and random crops, as a run for `benchmarks.kill_test`.

It starts in two seconds of CPU time, where the text-to-image recipe takes eight: most of those go
into TensorFlow's and JAX's tracing.
"""

import dataclasses

import numpy as np
import optax

from babeldraw.objectives.base import Player
from babeldraw.optimizers.config import Adafactor
from babeldraw.training.keeping.init_from import InitFrom
from babeldraw.training.loop import train
from babeldraw.training.machine import Machine
from tests.training.toy import WIDTH, Toy, ToyDataset


@dataclasses.dataclass(frozen=True, kw_only=True)
class Int8Toy(Toy):
    """With dropout, two players, and Adafactor for the one that has matrices."""

    def players(self):
        rate = optax.constant_schedule(1e-2)
        optimizer = Adafactor(learning_rate=rate, min_dim_size_to_factor=8).make()
        return (Player("painter", self._painter_loss, optimizer, rate), super().players()[1])


class Crops(ToyDataset):
    """Rows are windows of longer ones, at random places that depend on the step alone."""

    def batches(self, *, start_step=0, **where):
        step = start_step
        for batch in super().batches(start_step=start_step, **where):
            step += 1
            rng = np.random.default_rng([step, 1])
            wide = np.concatenate([batch["x"], batch["x"][:, ::-1]], 1)
            starts = rng.integers(WIDTH, size=len(wide))
            rows = [row[start : start + WIDTH] for row, start in zip(wide, starts, strict=True)]
            yield batch | {"x": np.stack(rows)}


def train_toy(folder, name, steps, init_from=None):
    train(
        Int8Toy(),
        model_dir=str(folder / name),
        train_dataset=Crops(),
        train_steps=steps,
        machine=Machine(checkpoint_every=1),
        log_every=1,
        init_from=init_from,
    )


def train_from_another(folder, name, steps):
    """From the run `other` beside the folder."""
    train_toy(folder, name, steps, InitFrom(model_dir=str(folder.parent / "other")))
