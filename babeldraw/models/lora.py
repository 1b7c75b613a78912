"""Low-rank changes of a network's kernels: W + B A for a W that stays as it is (arXiv 2106.09685).

A change has the place of its kernel in the tree of parameters, `{"down": A, "up": B}`. Of a kernel
`[*lead, *in, *out]`, where `lead` are the leading axes of a stack of layers, A is `[*lead, *in,
rank]` and B `[*lead, rank, *out]`. The published factor alpha / rank is 1 here: the learning rate
says the same.
"""

import math
import string
from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from babeldraw.parallel.rules import is_box, layer_axes, logical_axes, unbox

DOWN, UP = "down", "up"

CHANGED = ("self_attention", "cross_attention", "mlp")
"""Parts of a layer whose kernels are changed: attention and feed-forward."""

_BRANCH = {DOWN, UP}


def init_changes(boxes: Any, rank: int, key: Key[Array, ""]) -> dict[str, Any]:
    """Changes of all attention and feed-forward kernels that change nothing yet: B is 0.

    A is drawn as a kernel is: with the variance of one over what it reads.

    Args:
      boxes: the network's parameters, abstract or not, in the boxes that name their axes.
      rank: of each change.
      key: for A.

    Returns:
      The tree of changes, boxed with the names of the kernels' axes; those of the rank are `rank`.
    """
    changes: dict[str, Any] = {}
    for number, (path, box) in enumerate(_kernels(boxes)):
        shape, names = unbox(box).shape, logical_axes(box)
        lead = layer_axes(box)
        inner = lead + (2 if names[lead] == "heads" else 1)  # [heads, head_dim], or one axis
        fan_in = math.prod(shape[lead:inner])
        down = jax.random.normal(
            jax.random.fold_in(key, number), (*shape[:inner], rank), jnp.float32
        )
        up = jnp.zeros((*shape[:lead], rank, *shape[inner:]), jnp.float32)
        node = changes
        for name in path:
            node = node.setdefault(name, {})
        node[DOWN] = nn.LogicallyPartitioned(down * fan_in**-0.5, (*names[:inner], "rank"))
        node[UP] = nn.LogicallyPartitioned(up, (*names[:lead], "rank", *names[inner:]))
    return changes


def _kernels(boxes: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for keys, box in jax.tree_util.tree_leaves_with_path(boxes, is_leaf=is_box):
        path = tuple(jax.tree_util.keystr((key,), simple=True) for key in keys)
        if path[-1] == "kernel" and any(part in CHANGED for part in path):
            yield path, box


def merge(params: Any, changes: Mapping[str, Any], weight: float | Float[Array, ""] = 1.0) -> Any:
    """`params` with `weight` times the changes added; what has none is as it was. Traceable.

    Args:
      params: of the network, a nested dict of arrays.
      changes: of `init_changes`, unboxed, or some of them.
    """
    if changes.keys() == _BRANCH:
        down, up = jnp.asarray(changes[DOWN]), jnp.asarray(changes[UP])
        changed: Array = params + weight * product(down, up, params.ndim)
        return changed.astype(params.dtype)
    merged = {name: merge(params[name], change, weight) for name, change in changes.items()}
    return {**params, **merged}


def product(
    down: Float[Array, "..."], up: Float[Array, "..."], dimensions: int
) -> Float[Array, "..."]:
    """B A in the shape of the kernel, which has so many dimensions; in float32."""
    lead = down.ndim + up.ndim - 2 - dimensions
    letters = iter(string.ascii_lowercase)
    of_lead = "".join(next(letters) for _ in range(lead))
    of_in = "".join(next(letters) for _ in range(down.ndim - lead - 1))
    of_out = "".join(next(letters) for _ in range(up.ndim - lead - 1))
    result: Array = jnp.einsum(
        f"{of_lead}{of_in}z,{of_lead}z{of_out}->{of_lead}{of_in}{of_out}",
        down,
        up,
        precision=jax.lax.Precision.HIGHEST,
    )
    return result
