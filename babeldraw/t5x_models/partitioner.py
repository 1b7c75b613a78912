"""T5X's partitioner, by our table of places."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from t5x import partitioning

from babeldraw.parallel.rules import placing
from babeldraw.t5x_models.axes import MESH_AXES, axis_rules


class Partitioner(partitioning.PjitPartitioner):
    """`t5x.partitioning.PjitPartitioner` in whose programs activations are placed, too.

    Flax reads the mesh of `jax.set_mesh` alone, which T5X does not set.

    Attributes:
      fsdp: shard parameters over `data` as well; see `parallel.rules.training_rules`.
    """

    def __init__(
        self, num_partitions: int | None = None, fsdp: bool = False, **settings: Any
    ) -> None:
        super().__init__(
            num_partitions=num_partitions, logical_axis_rules=axis_rules(fsdp), **settings
        )

    @functools.cached_property
    def mesh(self) -> Mesh:
        """T5X's own; of CPUs, on which T5X splits layers over all of them, as on other devices."""
        devices = jax.devices()
        if devices[0].platform != "cpu":
            own: Mesh = super().mesh
            return own
        grid = np.asarray(devices).reshape(-1, self._num_partitions or 1)
        return Mesh(grid, MESH_AXES)

    def partition(self, fn: Callable[..., Any], *arguments: Any, **settings: Any) -> "_Placed":
        return _Placed(super().partition(fn, *arguments, **settings), self)


class _Placed:
    """A partitioned function that is called and lowered within `placing`."""

    def __init__(self, partitioned: Any, partitioner: Partitioner) -> None:
        self._partitioned, self._partitioner = partitioned, partitioner

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        with placing(self._partitioner.mesh, self._partitioner.logical_axis_rules):
            return self._partitioned(*arguments, **settings)

    def lower(self, *arguments: Any, **settings: Any) -> Any:
        with placing(self._partitioner.mesh, self._partitioner.logical_axis_rules):
            return self._partitioned.lower(*arguments, **settings)
