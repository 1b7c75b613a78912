"""A small real objective with two players and a frozen network, and a dataset for it.

`painter` maps 8 numbers to 8 through a hidden layer, with dropout; `critic` is a line that
scores what the painter makes. The frozen network is a projection that the painter imitates.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from babeldraw.objectives.base import Objective, Player

WIDTH = 8
FROZEN = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)


class Painter(nn.Module):
    """`[batch, WIDTH] -> [batch, WIDTH]`."""

    hidden: int

    @nn.compact
    def __call__(self, x: jax.Array, *, deterministic: bool = False) -> jax.Array:
        def dense(features: int, axes: tuple[str, str]) -> nn.Dense:
            init = nn.with_logical_partitioning(nn.initializers.lecun_normal(), axes)
            return nn.Dense(features, use_bias=False, kernel_init=init, name=axes[1])

        x = nn.relu(dense(self.hidden, ("embed", "mlp"))(x))
        x = nn.with_logical_constraint(x, ("batch", "activation_mlp"))
        x = nn.Dropout(0.1, deterministic=deterministic)(x)
        return dense(WIDTH, ("mlp", "embed"))(x)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy(Objective):
    """Two players with AdamW; `explode_at` and `explode_from` make the painter's loss NaN there."""

    hidden: int = 16
    learning_rate: float = 1e-2
    explode_at: int = -1
    explode_from: int = 2**30
    frozen: bool = True

    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        return {
            "x": jax.ShapeDtypeStruct((batch_size, WIDTH), jnp.float32),
            "index": jax.ShapeDtypeStruct((batch_size,), jnp.int32),
        }

    def init(self, key: jax.Array) -> dict[str, Any]:
        painter, critic = jax.random.split(key)
        return {
            "painter": Painter(self.hidden).init(
                {"params": painter, "dropout": painter}, jnp.zeros((1, WIDTH))
            )["params"],
            "critic": {"line": jax.random.normal(critic, (WIDTH,)) * 0.1},
        }

    def constants(self) -> Any:
        return {"target": FROZEN} if self.frozen else {}

    def players(self) -> tuple[Player, ...]:
        schedule = optax.linear_schedule(self.learning_rate, 0.0, 1000)
        painter = Player("painter", self._painter_loss, optax.adamw(schedule), schedule)
        critic = Player("critic", self._critic_loss, optax.sgd(0.01), 0.01)
        return (painter, critic)

    def _painter_loss(self, own, everyone, constants, batch, key, step):
        made = Painter(self.hidden).apply({"params": own}, batch["x"], rngs={"dropout": key})
        target = batch["x"] @ constants["target"] if self.frozen else -batch["x"]
        loss = jnp.mean((made - target) ** 2) - 0.01 * jnp.mean(made @ everyone["critic"]["line"])
        index = batch["index"][0]
        loss = jnp.where((index == self.explode_at) | (index >= self.explode_from), jnp.nan, loss)
        return loss, {"made": jnp.mean(jnp.abs(made))}

    def _critic_loss(self, own, everyone, constants, batch, key, step):
        made = Painter(self.hidden).apply(
            {"params": everyone["painter"]}, batch["x"], rngs={"dropout": key}
        )
        return jnp.mean(((made - batch["x"]) @ own["line"]) ** 2), {}

    def evaluate(self, params, constants, batch, key):
        made = Painter(self.hidden).apply(
            {"params": params["painter"]}, batch["x"], deterministic=True
        )
        return {"error": jnp.mean((made - batch["x"] @ constants["target"]) ** 2)}

    def pictures(self, params, constants, batch, key):
        grey = jnp.clip(batch["x"][:4, None, :, None, None] * 40 + 128, 0, 255)
        return {"rows": jnp.broadcast_to(grey, (4, 2, WIDTH, WIDTH, 3)).astype(jnp.uint8)}


@dataclasses.dataclass
class ToyDataset:
    """Batch i is drawn from a generator seeded with i; its `index` says which step takes it."""

    batch_size: int = 16
    length: int | None = None
    extra: bool = True

    def batches(
        self, *, process_index=0, process_count=1, start_step=0, num_epochs=None
    ) -> Iterator[dict[str, np.ndarray]]:
        step = start_step
        while self.length is None or step < self.length:
            step += 1
            x = np.random.default_rng(step).normal(size=(self.batch_size, WIDTH))
            rows = slice(
                process_index * self.batch_size // process_count,
                (process_index + 1) * self.batch_size // process_count,
            )
            batch = {
                "x": x.astype(np.float32)[rows],
                "index": np.full((self.batch_size,), step, np.int32)[rows],
            }
            if self.extra:
                batch["caption"] = np.array(["not for the device"] * len(batch["x"]), object)
            yield batch

    def example_ids(self, step, *, process_index=0, process_count=1):
        rows = self.batch_size // process_count
        return [f"{step}/{process_index * rows + row}" for row in range(rows)]
