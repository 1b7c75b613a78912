"""Batches: what an objective wants of them, and how they get onto the mesh."""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective
from babeldraw.parallel.rules import TRAINING_RULES, Rules, batch_axes, batch_sharding

HostBatch = Mapping[str, np.ndarray]
"""This process's rows of a batch. Entries that the objective does not name are dropped."""


@dataclasses.dataclass(frozen=True)
class Share:
    """The rows of each batch that one process gives.

    Attributes:
      index: of the share; processes whose devices hold the same rows give the same share.
      count: how many shares there are.
      local_rows: (first, end) of rows of the batch on a device -> where they stand in the share.
    """

    index: int
    count: int
    local_rows: Mapping[tuple[int, int], slice]


def share_of_process(
    sharding: jax.sharding.Sharding, batch_size: int, process: int | None = None
) -> Share:
    """What a process (by default this one) gives of batches that lie as `sharding` says.

    Where layers are split over devices of several hosts, these hosts need the same rows.

    Raises:
      UserError: the mesh gives some processes more rows than others.
    """
    process = jax.process_index() if process is None else process
    held: dict[int, set[tuple[int, int]]] = {}
    devices: Mapping[Any, Any] = sharding.devices_indices_map((batch_size,))
    for device, index in devices.items():
        held.setdefault(device.process_index, set()).add(_range(index, (batch_size,)))
    shares = sorted({tuple(sorted(ranges)) for ranges in held.values()})
    sizes = {sum(end - first for first, end in ranges) for ranges in shares}
    if len(sizes) > 1 or len(shares) * max(sizes) != batch_size:
        raise UserError(
            "The mesh spreads the batch unevenly over the processes: let mesh axis 'model' divide "
            "the devices of a process, or be a multiple of them."
        )
    local_rows, first_free = {}, 0
    for first, end in sorted(held[process]):
        local_rows[first, end] = slice(first_free, first_free + end - first)
        first_free += end - first
    return Share(shares.index(tuple(sorted(held[process]))), len(shares), local_rows)


def _range(index: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """First and end of the rows that a device's part of an array has."""
    first, end, _ = index[0].indices(shape[0])
    return first, end


@dataclasses.dataclass(frozen=True)
class BatchLayout:
    """Global shape, dtype and sharding of each entry that an objective wants."""

    entries: Mapping[str, jax.ShapeDtypeStruct]

    @functools.cached_property
    def share(self) -> "Share":
        """What this process gives of each batch."""
        entry = next(iter(self.entries.values()))
        return share_of_process(entry.sharding, entry.shape[0])

    def to_global(self, batch: HostBatch) -> dict[str, jax.Array]:
        """Global arrays, each process giving its rows.

        Raises:
          UserError: the batch does not fit.
        """
        self._check(batch)
        rows = self.share.local_rows

        def place(name: str, entry: jax.ShapeDtypeStruct) -> jax.Array:
            array = np.asarray(batch[name])
            return jax.make_array_from_callback(
                entry.shape, entry.sharding, lambda index: array[rows[_range(index, entry.shape)]]
            )

        return {name: place(name, entry) for name, entry in self.entries.items()}

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
            shape = (want.shape[0] // self.share.count, *want.shape[1:])
            got = batch[name]
            if got.shape != shape or got.dtype != want.dtype:
                raise UserError(
                    f"The dataset's {name!r} is {got.dtype}{list(got.shape)} and this objective "
                    f"needs {np.dtype(want.dtype)}{list(shape)}: make the task's feature lengths "
                    "and the model's sizes agree."
                )


def batch_layout(
    objective: Objective, batch_size: int, mesh: Mesh, rules: Rules = TRAINING_RULES
) -> BatchLayout:
    """How batches of `batch_size` rows, counted over all processes, lie on the mesh.

    Raises:
      UserError: the rows do not divide over the devices, the processes or the parts of a step.
    """
    axes = batch_axes(rules)
    replicas = math.prod(mesh.shape[axis] for axis in axes)
    over = f"{replicas} devices (mesh axes {' and '.join(map(repr, axes))})"
    if batch_size < 1 or batch_size % replicas:
        raise UserError(
            f"The batch of {batch_size} does not divide over {over}: make it a multiple of "
            f"{replicas}."
        )
    parts = objective.execution.accumulate
    if batch_size % (replicas * parts):
        raise UserError(
            f"The batch of {batch_size} does not divide into {parts} parts (`accumulate` in the "
            f"machine file) over {over}: make it a multiple of {replicas * parts}, or change "
            "`accumulate`."
        )
    sharding = batch_sharding(mesh, rules)
    return BatchLayout(
        {
            name: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)
            for name, shape in objective.batch_shapes(batch_size).items()
        }
    )
