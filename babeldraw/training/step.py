"""One training step: the players move in turn."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from babeldraw.errors import UserError
from babeldraw.objectives.base import (
    Batch,
    Constants,
    Forward,
    Metrics,
    Objective,
    Params,
    Player,
)
from babeldraw.optimizers.skipping import SpikeState, update_or_skip
from babeldraw.parallel.parts import mean_over_parts
from babeldraw.parallel.rules import is_box, logical_axes, replicated, with_logical_constraint
from babeldraw.training.batches import BatchLayout
from babeldraw.training.state import TrainState, step_key

MUST_BE_FINITE = ("loss", "grad_norm")
"""Metrics of a player. Where one of them is not finite the player skips the step."""
SPIKES = "spikes"
"""Metric of a player that looks out for spikes: 1 where it skips the step for one, else 0."""

TrainStep = Callable[[TrainState, Constants, Batch], tuple[TrainState, Metrics]]


def make_train_step(objective: Objective, seed: int = 0) -> TrainStep:
    """The function of one step, to be jitted by its user (donate the state).

    Each player is differentiated with respect to its own parameters, and sees the parameters
    that the players before it have just updated; `objective.after_step` comes last. What a player
    makes (`Player.forward`) is made before any moves, and again by none until it moves. Player i of
    step s draws its randomness from `fold_in(fold_in(key(seed), s), i)`. A player whose loss or
    gradients are not finite, or a spike, does not move: its parameters and its optimizer stay as
    they were (see `optimizers.skipping`).

    Where the objective's execution says to accumulate, a player's batch goes through it in parts,
    and gradients are averaged in float32. What is made is then made by each who looks at it.

    Returns:
      `train_step(state, constants, batch) -> (state, metrics)`. The metrics are float32
      scalars: those of the loss, `loss`, `grad_norm` (before any clipping) and
      `learning_rate`. Of several players that are not silent, with the player's name and a slash
      before them.

    Raises:
      UserError: the batch of a player's loss cannot go in parts.
    """
    players, parts = objective.players(), objective.execution.accumulate
    check_parts(objective)
    heard = sum(not player.silent for player in players)

    def train_step(
        state: TrainState, constants: Constants, batch: Batch
    ) -> tuple[TrainState, Metrics]:
        key = step_key(seed, state.step)
        params, optimizer_state = dict(state.params), dict(state.optimizer_state)
        metrics: Metrics = {}
        made = {
            player.name: _make(player.forward, params[player.name], constants, batch)
            for player in players
            if player.forward is not None and parts == 1
        }
        for index, player in enumerate(players):
            own = params[player.name]
            own_key = jax.random.fold_in(key, index)
            differentiate = functools.partial(
                _differentiate, player, params, constants, made, own_key, state.step
            )
            if parts == 1 or player.reads == "nothing":
                (loss, reported), gradients = differentiate(batch)
            else:
                zeros = _zeros(objective.abstract_params[player.name], own)
                (loss, reported), sums = mean_over_parts(differentiate, batch, parts, zeros)
                gradients = jax.tree.map(lambda g, leaf: g.astype(leaf.dtype), sums, own)
            made.pop(player.name, None)
            norm = optax.tree.norm(gradients)
            before = optimizer_state[player.name]
            updates, after = update_or_skip(player.optimizer, gradients, before, own, loss)
            params[player.name] = optax.apply_updates(own, updates)
            optimizer_state[player.name] = after
            if player.silent:
                continue
            schedule = player.learning_rate
            rate = jnp.asarray(schedule(state.step) if callable(schedule) else schedule)
            reported = player.report(reported)
            reported = {"loss": loss, **reported, "grad_norm": norm, "learning_rate": rate}
            if isinstance(after, SpikeState):
                reported[SPIKES] = after.skipped - before.skipped
            prefix = f"{player.name}/" if heard > 1 else ""
            metrics |= {
                prefix + name: jnp.asarray(value, jnp.float32) for name, value in reported.items()
            }
        last = jax.random.fold_in(key, len(players))
        params = objective.after_step(params, constants, batch, last, state.step)
        new_state = TrainState(step=state.step + 1, params=params, optimizer_state=optimizer_state)
        return new_state, metrics

    return train_step


def check_parts(objective: Objective) -> None:
    """Whether the batch can go in the parts that the objective's execution says.

    Raises:
      UserError: a player's loss compares the examples of the whole batch.
    """
    parts = objective.execution.accumulate
    for player in objective.players():
        if parts > 1 and player.reads == "batch":
            raise UserError(
                f"The machine file has a step's batch go in {parts} parts (`accumulate`), and the "
                f"loss of {player.name!r} compares the examples of the whole batch: set "
                "`accumulate` to 1, and make BATCH_SIZE smaller where it does not fit."
            )


def _zeros(boxes: Params, own: Params) -> Params:
    """Float32 sums of gradients, each where its parameter lies."""

    def place(box: Any, leaf: jax.Array) -> jax.Array:
        return with_logical_constraint(jnp.zeros(leaf.shape, jnp.float32), logical_axes(box))

    return jax.tree.map(place, boxes, own, is_leaf=is_box)


Made = tuple[dict[str, jax.Array], Callable[..., tuple[Params]]]
"""What a player makes, and the function from its gradient to that of the parameters."""


def _make(forward: Forward, own: Params, constants: Constants, batch: Batch) -> Made:
    made: Made = jax.vjp(lambda own: forward(own, constants, batch), own)
    return made


def _differentiate(
    player: Player,
    params: dict[str, Params],
    constants: Constants,
    made: dict[str, Made],
    key: jax.Array,
    step: jax.Array,
    batch: Batch,
) -> tuple[tuple[jax.Array, Metrics], Params]:
    """((loss, metrics), gradients) of a player."""
    for arrays, _ in made.values():
        batch = {**batch, **arrays}
    own = params[player.name]
    if player.name not in made:
        gradient = jax.value_and_grad(player.loss, has_aux=True)
        return gradient(own, params, constants, batch, key, step)
    arrays, backward = made[player.name]

    def loss(own: Params, arrays: dict[str, jax.Array]) -> tuple[jax.Array, Metrics]:
        return player.loss(own, params, constants, {**batch, **arrays}, key, step)

    # Tokens are whole numbers: allowed, and without gradient.
    gradient = jax.value_and_grad(loss, (0, 1), has_aux=True, allow_int=True)
    value, (directly, to_made) = gradient(own, arrays)
    (through_made,) = backward(to_made)
    return value, jax.tree.map(jnp.add, directly, through_made)


def compile_step(
    objective: Objective,
    seed: int,
    target: TrainState,
    constants: Constants,
    layout: BatchLayout,
    mesh: Mesh,
) -> tuple[jax.stages.Compiled, tuple[str, ...]]:
    """`lower_step`, compiled."""
    lowered, names = lower_step(objective, seed, target, constants, layout, mesh)
    return lowered.compile(), names


def lower_step(
    objective: Objective,
    seed: int,
    target: TrainState,
    constants: Constants,
    layout: BatchLayout,
    mesh: Mesh,
) -> tuple[jax.stages.Lowered, tuple[str, ...]]:
    """The step as `(state, constants, batch) -> (state, float32[len(names)])`, and `names`.

    The state is donated and stays where `target` says. The metrics come as one vector: one
    small array to fetch a step in place of many. To be called within `rules.placing`.

    Args:
      objective: whose players move.
      seed: of the run.
      target: the state, or its abstract form, with shardings.
      constants: of the objective, or their abstract form.
      layout: of the batches.
      mesh: that all of them lie on.
    """
    train_step = make_train_step(objective, seed)
    names: list[str] = []

    def step(state: TrainState, constants: Constants, batch: Batch) -> tuple[TrainState, jax.Array]:
        state, metrics = train_step(state, constants, batch)
        names[:] = metrics  # While tracing: what JAX returns has lost the players' order.
        return state, jnp.stack(list(metrics.values()))

    shardings = jax.tree.map(lambda leaf: leaf.sharding, target)
    jitted = jax.jit(step, donate_argnums=0, out_shardings=(shardings, replicated(mesh)))
    lowered = jitted.lower(target, constants, dict(layout.entries))
    return lowered, tuple(names)
