"""Batches: what an objective wants of them, and how they get onto the mesh."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective
from babeldraw.parallel.rules import batch_sharding

HostBatch = Mapping[str, np.ndarray]
"""This process's rows of a batch. Entries that the objective does not name are dropped."""


@dataclasses.dataclass(frozen=True)
class BatchLayout:
    """Global shape, dtype and sharding of each entry that an objective wants."""

    entries: Mapping[str, jax.ShapeDtypeStruct]

    def to_global(self, batch: HostBatch) -> dict[str, jax.Array]:
        """Global arrays, each process giving its rows.

        Raises:
          UserError: the batch does not fit.
        """
        self._check(batch)
        return {
            name: jax.make_array_from_process_local_data(entry.sharding, np.asarray(batch[name]))
            for name, entry in self.entries.items()
        }

    def for_step(self, batch: HostBatch) -> Mapping[str, Any]:
        """As a compiled step takes it that knows the shardings.

        Where all devices are this process's own, such a step places host arrays itself, at a
        tenth of the host's time that making global arrays takes: it counts where a step takes
        20 ms.

        Raises:
          UserError: the batch does not fit.
        """
        if jax.process_count() > 1:
            return self.to_global(batch)
        self._check(batch)
        return {name: batch[name] for name in self.entries}

    def _check(self, batch: HostBatch) -> None:
        for name, want in self.entries.items():
            if name not in batch:
                raise UserError(
                    f"The dataset's batches have no {name!r}, which this objective needs: they "
                    f"have {', '.join(sorted(batch))}; use a task that gives it."
                )
            shape = (want.shape[0] // jax.process_count(), *want.shape[1:])
            got = batch[name]
            if got.shape != shape or got.dtype != want.dtype:
                raise UserError(
                    f"The dataset's {name!r} is {got.dtype}{list(got.shape)} and this objective "
                    f"needs {np.dtype(want.dtype)}{list(shape)}: make the task's feature lengths "
                    "and the model's sizes agree."
                )


def batch_layout(objective: Objective, batch_size: int, mesh: Mesh) -> BatchLayout:
    """How batches of `batch_size` rows, counted over all processes, lie on the mesh.

    Raises:
      UserError: the rows do not divide over the devices or the processes.
    """
    replicas, processes = mesh.shape["data"] * mesh.shape["stage"], jax.process_count()
    parts = math.lcm(replicas, processes)
    if batch_size < 1 or batch_size % parts:
        raise UserError(
            f"The batch of {batch_size} does not divide over {replicas} devices (mesh axes 'data' "
            f"and 'stage') and {processes} process(es): make it a multiple of {parts}."
        )
    sharding = batch_sharding(mesh)
    return BatchLayout(
        {
            name: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)
            for name, shape in objective.batch_shapes(batch_size).items()
        }
    )
