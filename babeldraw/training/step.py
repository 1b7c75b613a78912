"""One training step: the players move in turn."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from babeldraw.objectives.base import Batch, Constants, Metrics, Objective
from babeldraw.training.state import TrainState, step_key

TrainStep = Callable[[TrainState, Constants, Batch], tuple[TrainState, Metrics]]


def make_train_step(objective: Objective, seed: int = 0) -> TrainStep:
    """The function of one step, to be jitted by its user (donate the state).

    Each player is differentiated with respect to its own parameters, and sees the parameters
    that the players before it have just updated. Player i of step s draws its randomness from
    `fold_in(fold_in(key(seed), s), i)`.

    Returns:
      `train_step(state, constants, batch) -> (state, metrics)`. The metrics are float32
      scalars: those of the loss, `loss`, `grad_norm` (before any clipping) and
      `learning_rate`; of several players, with the player's name and a slash before them.
    """
    players = objective.players()

    def train_step(
        state: TrainState, constants: Constants, batch: Batch
    ) -> tuple[TrainState, Metrics]:
        key = step_key(seed, state.step)
        params, optimizer_state = dict(state.params), dict(state.optimizer_state)
        metrics: Metrics = {}
        for index, player in enumerate(players):
            own = params[player.name]
            gradient = jax.value_and_grad(player.loss, has_aux=True)
            (loss, reported), gradients = gradient(
                own, params, constants, batch, jax.random.fold_in(key, index)
            )
            updates, optimizer_state[player.name] = player.optimizer.update(
                gradients, optimizer_state[player.name], own
            )
            params[player.name] = optax.apply_updates(own, updates)
            rate = player.learning_rate
            reported = {
                "loss": loss,
                **reported,
                "grad_norm": optax.global_norm(gradients),
                "learning_rate": rate(state.step) if callable(rate) else rate,
            }
            prefix = f"{player.name}/" if len(players) > 1 else ""
            metrics |= {
                prefix + name: jnp.asarray(value, jnp.float32) for name, value in reported.items()
            }
        new_state = TrainState(step=state.step + 1, params=params, optimizer_state=optimizer_state)
        return new_state, metrics

    return train_step
