"""Moving averages of what is trained, which often evaluate and draw better than the last step.

Moving averages are players, so that they are saved, sharded and resumed like any other state: a
player whose loss is half a squared distance and whose optimizer is plain gradient descent at rate
`1 - decay` holds the exponential moving average of what it follows.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from babeldraw.objectives.base import Batch, Constants, Metrics, Params, Player, Reads

Target = Callable[[Mapping[str, Params], Constants, Batch], Params]
"""`target(all_params, constants, batch)`: what an average follows, of the same structure."""


def moving_average(name: str, target: Target, decay: float, reads: Reads = "examples") -> Player:
    """A player that holds the exponential moving average of `target`.

    Args:
      reads: what `target` is of, as a loss is: the gradient goes with it.
    """

    def loss(
        own: Params,
        all_params: Mapping[str, Params],
        constants: Constants,
        batch: Batch,
        key: Key[Array, ""],
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics]:
        followed = jax.lax.stop_gradient(target(all_params, constants, batch))
        distance = jax.tree.map(lambda a, b: jnp.sum(jnp.square(a - b)), own, followed)
        return optax.tree.sum(distance) / 2, {}

    return Player(name, loss, optax.sgd(1 - decay), 1 - decay, silent=True, reads=reads)


def with_average(params: dict[str, Params], name: str, decay: float) -> dict[str, Params]:
    """Fresh parameters and, where `decay` is not 0, the average of player `name`'s, equal to them.

    A copy: a step donates its state, and gives no array away twice.
    """
    if not decay:
        return params
    return {**params, average_name(name): jax.tree.map(jnp.copy, params[name])}


def followers(name: str, decay: float) -> tuple[Player, ...]:
    """The average of player `name`'s parameters, to move after it; none where `decay` is 0."""
    if not decay:
        return ()
    own = average_name(name)
    return (moving_average(own, lambda params, *_: params[name], decay, reads="nothing"),)


def averaged(params: Mapping[str, Params], name: str) -> Params:
    """Parameters of player `name`: their average where the run keeps one.

    What is frozen, and therefore has no average, stays as it is.
    """
    return {**params[name], **params.get(average_name(name), {})}


def average_name(name: str) -> str:
    """The player that holds the average of player `name`."""
    return f"{name}_ema"
