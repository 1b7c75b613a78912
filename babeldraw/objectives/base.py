"""What the training loop knows of a training stage: its players, and nothing of its model.

An objective has one or more players: a parameter subtree, the loss it minimises, and its
optimizer. A Transformer has one player, a GAN two. Frozen networks are constants: they get no
gradient and no optimizer state.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, Self

import jax
import optax

from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import is_box, layer_axes

Params = Any
"""A pytree of arrays (of `nn.LogicallyPartitioned` boxes where stated)."""
Constants = Any
Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]

Loss = Callable[
    [Params, Mapping[str, Params], Constants, Batch, jax.Array], tuple[jax.Array, Metrics]
]
"""`loss(own_params, all_params, constants, batch, key) -> (scalar, metrics)`.

`own_params` are differentiated; `all_params` maps every player's name to its current parameters.
"""


@dataclasses.dataclass(frozen=True)
class Player:
    """One parameter subtree with what it minimises and how it is updated."""

    name: str
    loss: Loss
    optimizer: optax.GradientTransformation
    learning_rate: Callable[[jax.Array], jax.Array] | float
    """The schedule inside `optimizer`, for the log line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Objective(abc.ABC):
    """A training stage. Subclasses are frozen dataclasses that gin files bind."""

    execution: Execution = Execution()

    def with_execution(self, execution: Execution) -> Self:
        """The same objective, run as the machine file says."""
        return dataclasses.replace(self, execution=execution)

    @abc.abstractmethod
    def batch_shapes(self, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
        """Global shape and dtype of each entry of the batches that it trains on."""

    @abc.abstractmethod
    def init(self, key: jax.Array) -> dict[str, Params]:
        """Fresh parameters of each player, boxed with their logical axis names."""

    @functools.cached_property
    def abstract_params(self) -> dict[str, Params]:
        """Shape, dtype and logical axis names of what `init` gives, at no cost."""
        return jax.eval_shape(lambda: self.init(jax.random.key(0)))

    def layer_axes(self, player: str) -> Params:
        """How many leading axes of each parameter count layers: what optimizers treat apart."""
        boxes = self.abstract_params[player]
        return jax.tree.map(layer_axes, boxes, is_leaf=is_box)

    @abc.abstractmethod
    def players(self) -> tuple[Player, ...]:
        """The players, in the order in which they move within one step."""

    def constants(self) -> Constants:
        """Parameters of the frozen networks, as host arrays."""
        return {}

    def abstract_constants(self) -> Constants:
        """Shapes and dtypes of `constants()`, without reading them."""
        return {}

    def evaluate(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: jax.Array
    ) -> Metrics:
        """Means over one held-out batch, without dropout. Traceable."""
        metrics: Metrics = {}
        for player in self.players():
            _, player_metrics = player.loss(params[player.name], params, constants, batch, key)
            metrics |= player_metrics
        return metrics

    def pictures(
        self, params: Mapping[str, Params], constants: Constants, batch: Batch, key: jax.Array
    ) -> dict[str, jax.Array]:
        """Sheets to look at: name -> `uint8[N, columns, H, W, 3]`, a row each. Traceable."""
        return {}
