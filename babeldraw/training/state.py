"""What training changes: the step, the players' parameters and their optimizers' state.

Parameters are stored as plain arrays. Their logical axis names come from the abstract
evaluation of `objective.init`, which boxes them.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Array, Int, Key

from babeldraw.objectives.base import Objective
from babeldraw.parallel.rules import (
    Axes,
    Rules,
    is_box,
    logical_axes,
    unbox,
    variable_sharding,
)

INIT_STEP = 2**32 - 1
EVALUATION_STEP = 2**32 - 2
PICTURES_STEP = 2**32 - 3
"""Steps that no run reaches: their keys are for what is not a training step."""


class TrainState(struct.PyTreeNode):
    """A pytree of arrays; `params` and `optimizer_state` map each player's name to its tree."""

    step: jax.Array  # int32[]: how many steps have been taken.
    params: dict[str, Any]
    optimizer_state: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Variable:
    """One array of the state: what it is and where it lives."""

    name: str  # "params/decoder/mlp/kernel"
    shape: tuple[int, ...]
    dtype: Any
    axes: tuple[str | None, ...]  # Logical axis names; () where there are none.
    sharding: jax.sharding.NamedSharding

    @property
    def sequential_shape(self) -> tuple[int, ...]:
        """The shape with a pipelined stack's rounds and stages as one axis of layers."""
        if self.axes[:2] != ("rounds", "stages"):
            return self.shape
        rounds, layers, *rest = self.shape
        return (rounds * layers, *rest)

    @property
    def bytes_a_device(self) -> int:
        """Of this array, on each device."""
        return bytes_a_device(self)


def bytes_a_device(array: Any) -> int:
    """Of anything that has a shape, a dtype and a sharding."""
    shard: tuple[int, ...] = array.sharding.shard_shape(array.shape)
    itemsize: int = jnp.dtype(array.dtype).itemsize
    return math.prod(shard) * itemsize


def step_key(seed: int, step: Int[Array, ""] | int) -> Key[Array, ""]:
    """The key of one step: the same for every mesh, and for a run that was resumed."""
    return jax.random.fold_in(jax.random.key(seed), step)


def init_state(
    objective: Objective, seed: int, change: Callable[[Any], Any] = lambda params: params
) -> TrainState:
    """A fresh state, or that of fresh parameters as `change` returns them. Traceable."""
    return _unboxed_state(objective, change(unbox(objective.init(step_key(seed, INIT_STEP)))))


def _unboxed_state(objective: Objective, params: Any) -> TrainState:
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimizer_state={
            player.name: player.optimizer.init(params[player.name])
            for player in objective.players()
        },
    )


def describe_params(objective: Objective, mesh: Mesh, rules: Rules) -> list[Variable]:
    """The parameters of all players, in the order of `jax.tree.leaves`."""
    variables = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(
        objective.abstract_params, is_leaf=is_box
    ):
        array = unbox(leaf)
        name, axes = "/".join(("params", *_names(path))), logical_axes(leaf)
        sharding = variable_sharding(name, array.shape, axes, mesh, rules)
        variables.append(Variable(name, array.shape, array.dtype, axes, sharding))
    return variables


def describe_state(objective: Objective, mesh: Mesh, rules: Rules) -> list[Variable]:
    """Every variable of the state, in the order of `jax.tree.leaves(init_state(...))`.

    An array of the optimizer lives where its parameter lives: along each axis of the parameter
    that it has too. An axis that it reduces to 1 (the scale of a quantised moment, the rows and
    columns of a factored one) has no place. An array of another rank, such as a count, is on every
    device.
    """
    params = {tuple(v.name.split("/")[1:]): v for v in describe_params(objective, mesh, rules)}
    owners: dict[str, dict[str, tuple[tuple[int, ...], Axes]]] = {}
    for (player, *rest), v in params.items():
        owners.setdefault(player, {})["/".join(rest)] = v.shape, v.axes
    variables = []
    shapes = jax.eval_shape(lambda: init_state(objective, 0))
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        parts = _names(path)
        if parts[0] == "params":
            variables.append(params[parts[1:]])
            continue
        name = "/".join(parts)
        # optimizer_state/PLAYER/.../PATH OF THE PARAMETER IN ITS PLAYER'S TREE
        player = parts[1] if len(parts) > 1 else ""
        axes = owned_axes("/".join(parts[2:]), leaf.shape, owners.get(player, {}))
        sharding = variable_sharding(name, leaf.shape, axes, mesh, rules)
        variables.append(Variable(name, leaf.shape, leaf.dtype, axes, sharding))
    return variables


def owned_axes(
    name: str,
    shape: tuple[int, ...],
    params: Mapping[str, tuple[tuple[int, ...], Axes]],
) -> Axes:
    """The axes of an optimizer's array: those of the parameter whose it is, where it has them too.

    Args:
      name: of the array in the optimizer's state, which ends in the parameter's.
      shape: of the array.
      params: name -> shape and axes of each parameter.

    Returns:
      None in the place of an axis that is reduced to 1; `()` of an array that is no parameter's, or
      of another rank.
    """
    parts = name.split("/")
    owners = ("/".join(parts[start:]) for start in range(len(parts)))
    owned = next((params[owner] for owner in owners if owner in params), None)
    if owned is None or len(owned[0]) != len(shape):
        return ()
    sizes = list(zip(owned[0], shape, strict=True))
    if not all(size in (of, 1) for of, size in sizes):
        return ()
    return tuple(
        axis if size == of else None for axis, (of, size) in zip(owned[1], sizes, strict=False)
    )


def abstract_state(objective: Objective, variables: list[Variable]) -> TrainState:
    """The state as `jax.ShapeDtypeStruct`s that carry their shardings."""
    tree = jax.tree.structure(jax.eval_shape(lambda: init_state(objective, 0)))
    state: TrainState = jax.tree.unflatten(
        tree, [jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=v.sharding) for v in variables]
    )
    return state


def variable_name(path: tuple[Any, ...]) -> str:
    """`params/decoder/0/mu` for the path of a leaf."""
    return "/".join(_names(path))


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)
