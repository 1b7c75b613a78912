"""A step's batch in parts that follow one another: gradient accumulation.

Part p of n has the examples p, n + p, 2n + p...: every device then has its own rows of every part,
and none is moved.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped

from babeldraw.parallel.rules import with_logical_constraint

PLACE = "place"
"""Entry of a part, int32[rows]: where its examples stand in the batch. Whole batches have none."""

Batch = Mapping[str, jax.Array]
Small = TypeVar("Small")
Large = TypeVar("Large")


def mean_over_parts(
    function: Callable[[Batch], tuple[Small, Large]], batch: Batch, parts: int, zeros: Large
) -> tuple[Small, Large]:
    """Both results of `function`, averaged over the parts, which weigh the same.

    Args:
      function: `function(part) -> (small, large)`, pytrees; it is traced once.
      batch: entries `[batch, ...]`, of which `parts` divides the rows on each device. A part has
        its rows, and `PLACE`.
      parts: how many; 1: the whole batch, which goes to `function` as it is.
      zeros: in the form of `large`, whose sum takes their dtype and their place on the mesh. It is
        the one thing as large that is kept between parts; of `small`, every part's is.
    """
    if parts == 1:
        return function(batch)

    def add(sums: Large, index: jax.Array) -> tuple[Large, Small]:
        small, large = function(_part(batch, index, parts))
        return jax.tree.map(lambda a, b: a + b.astype(a.dtype), sums, large), small

    sums, each = jax.lax.scan(add, zeros, jnp.arange(parts))
    mean = jax.tree.map(lambda x: jnp.mean(x.astype(jnp.float32), axis=0), each)
    return mean, jax.tree.map(lambda x: x / parts, sums)


def rows_of_parts(
    function: Callable[[Batch], Shaped[Array, "rows *rest"]], batch: Batch, parts: int
) -> Shaped[Array, "batch *rest"]:
    """What `function` gives of each example, a part after another, in the batch's order."""
    if parts == 1:
        return function(batch)
    each = jax.lax.map(lambda index: function(_part(batch, index, parts)), jnp.arange(parts))
    rows = jnp.swapaxes(each, 0, 1)
    return _placed(rows.reshape(-1, *rows.shape[2:]))


def places(batch: Batch) -> Int[Array, "rows"]:
    """Where the examples of a batch, or of a part of one, stand in the whole batch."""
    if PLACE in batch:
        return batch[PLACE]
    return jnp.arange(len(next(iter(batch.values()))))


def _part(batch: Batch, index: Int[Array, ""], parts: int) -> dict[str, jax.Array]:
    def rows(x: jax.Array) -> jax.Array:
        x = _placed(jnp.reshape(x, (-1, parts, *x.shape[1:])))
        return _placed(jax.lax.dynamic_index_in_dim(x, index, axis=1, keepdims=False))

    return {name: rows(x) for name, x in {**batch, PLACE: places(batch)}.items()}


def _placed(x: Shaped[Array, "rows *rest"]) -> Shaped[Array, "rows *rest"]:
    return with_logical_constraint(x, ("batch", *[None] * (x.ndim - 1)))
