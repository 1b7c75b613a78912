"""Programs that run on each device's own part of their arguments.

XLA splits an operation of its own over the mesh; a kernel it cannot look into.
"""

import math
from collections.abc import Callable, Sequence

import jax
from flax import linen as nn
from jax.sharding import PartitionSpec
from jaxtyping import Array

from babeldraw.parallel.rules import Axes


def platform() -> str:
    """Of the devices that `rules.placing` places on, such as "tpu", whether or not they are here.

    Outside of it, of those that JAX runs on.
    """
    mesh = jax.sharding.get_abstract_mesh()
    of_mesh: str = getattr(mesh.abstract_device, "platform", jax.default_backend())
    return of_mesh


def divides(shape: Sequence[int], axes: Axes) -> bool:
    """Whether the mesh splits such an array into equal parts."""
    mesh = jax.sharding.get_abstract_mesh()
    spec = _spec(axes)
    parts = [(part,) if isinstance(part, str) else part or () for part in spec]
    return all(
        size % math.prod(mesh.shape.get(name, 1) for name in names) == 0
        for size, names in zip(shape, parts, strict=False)
    )


def on_each_shard(
    function: Callable[..., Array], arguments: Sequence[Axes], result: Axes
) -> Callable[..., Array]:
    """The function of whole arrays that `function` computes a device's part of.

    Args:
      arguments: axes of each argument; arrays that the mesh divides, see `divides`.
      result: axes of the result.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return function
    mapped: Callable[..., Array] = jax.shard_map(
        function,
        in_specs=tuple(map(_spec, arguments)),
        out_specs=_spec(result),
        check_vma=False,  # Kernels do not say over which axes their results are the same.
    )
    return mapped


def _spec(axes: Axes) -> PartitionSpec:
    return nn.logical_to_mesh_axes(axes) or PartitionSpec()
