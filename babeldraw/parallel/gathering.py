"""What is split over devices and read whole: gathered once, and its gradient summed as it is split.

Left alone, XLA gathers the same array once for each shape in which a product reads it, and some in
float32 that were only to be read in bfloat16.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Shaped

from babeldraw.parallel.rules import (
    Axes,
    Rules,
    active_rules,
    batch_axes,
    with_logical_constraint,
)


def placed_both_ways(
    x: Shaped[Array, "*shape"], forward: tuple[Axes, ...], backward: tuple[Axes, ...]
) -> Shaped[Array, "*shape"]:
    """`x`, placed by each of `forward` in turn, and its gradient by each of `backward`."""
    rules = active_rules()
    return _placed(x, forward, backward, rules) if rules else x


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _placed(
    x: jax.Array, forward: tuple[Axes, ...], backward: tuple[Axes, ...], rules: Rules
) -> jax.Array:
    return _in_turn(x, forward, rules)


def _placed_forward(
    x: jax.Array, forward: tuple[Axes, ...], backward: tuple[Axes, ...], rules: Rules
) -> tuple[jax.Array, None]:
    return _in_turn(x, forward, rules), None


def _placed_backward(
    forward: tuple[Axes, ...], backward: tuple[Axes, ...], rules: Rules, saved: Any, x: jax.Array
) -> tuple[jax.Array]:
    return (_in_turn(x, backward, rules),)


_placed.defvjp(_placed_forward, _placed_backward)


def weights_are_split() -> Rules | None:
    """The table where it splits weights along `embed` (FSDP), to be handed to `whole` and
    `kernel_gradient`.

    Both may run where the table is no longer set: JAX traces backward passes later.
    """
    rules = active_rules()
    return rules if dict(rules).get("embed") else None


def whole(
    kernel: Shaped[Array, "*shape"], axes: Axes, rules: Rules | None
) -> Shaped[Array, "*shape"]:
    """A kernel, gathered along its `embed` axis."""
    if rules is None:
        return kernel
    # Where it lies first: what is cast is then cast before it is sent.
    return _in_turn(kernel, (axes, tuple(None if a == "embed" else a for a in axes)), rules)


def kernel_gradient(
    x: Float[Array, "rows fan_in"],
    gradient: Float[Array, "rows fan_out"],
    kernel: Float[Array, "..."],
    axes: Axes,
    rules: Rules | None,
) -> Float[Array, "..."]:
    """`x.T @ gradient` in the kernel's shape and dtype, each device with the sum of its own part.

    The sum is a ReduceScatter by name: of a constraint TPU compilers make an AllReduce, twice the
    bytes, wherever they have put several of them together. What is scattered already is summed
    over the other devices that have examples of their own.
    """

    def multiply(x: jax.Array, gradient: jax.Array) -> jax.Array:
        product: jax.Array = jnp.matmul(x.T, gradient, preferred_element_type=kernel.dtype)
        return product.reshape(kernel.shape)

    if rules is None or "embed" not in axes:
        return multiply(x, gradient)
    split = nn.logical_to_mesh_axes(axes, rules)
    place, dimension = split[axes.index("embed")], axes.index("embed")
    names = (place,) if isinstance(place, str) else tuple(place)
    mesh = jax.sharding.get_abstract_mesh()
    with_rows = names if mesh.empty else _with_rows(mesh.shape, rules, names)
    if mesh.empty or x.shape[0] % math.prod(mesh.shape[name] for name in with_rows):
        return _in_turn(multiply(x, gradient), (axes,), rules)
    others = tuple(name for name in with_rows if name not in names)

    def multiply_own_rows(x: jax.Array, gradient: jax.Array) -> jax.Array:
        part: jax.Array = jax.lax.psum_scatter(
            multiply(x, gradient), names, scatter_dimension=dimension, tiled=True
        )
        return jax.lax.psum(part, others) if others else part

    rows = PartitionSpec(with_rows)
    summed: jax.Array = jax.shard_map(
        multiply_own_rows,
        in_specs=(rows, rows),
        out_specs=PartitionSpec(*[None] * dimension, names),
        axis_names=set(with_rows),
    )(x, gradient)
    return summed


def _with_rows(sizes: Mapping[str, int], rules: Rules, names: tuple[str, ...]) -> tuple[str, ...]:
    """The mesh axes that split the batch, in their order: those of `names` and others above 1."""
    return tuple(name for name in batch_axes(rules) if name in names or sizes[name] > 1)


def _in_turn(x: jax.Array, places: tuple[Axes, ...], rules: Rules) -> jax.Array:
    with nn.logical_axis_rules(rules):
        for axes in places:
            x = with_logical_constraint(x, axes)
    return x
