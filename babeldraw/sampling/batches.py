"""Any number of rows through a compiled program, in batches of one fixed size."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Shaped

from babeldraw.parallel.rules import batch_groups
from babeldraw.sampling import places

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class FixedBatches:
    """A trained network, put on its devices once, and called with batches of one size.

    Attributes:
      params: trained parameters, unboxed. It runs on the mesh that they lie on (see `places`).
      batch_size: rows at a time, made a multiple of `batch_groups`; changes speed and
        memory, and results as far as rounding reaches: sums are added up in another order. The last
        batch is filled up, so that one program serves all.
    """

    model: Any
    params: Any
    batch_size: int = 16

    def in_batches(
        self, program: Callable[[Any, Any], jax.Array], rows: Shaped[np.ndarray, "rows *row"]
    ) -> Shaped[np.ndarray, "rows *result"]:
        """`program(params, batch)` of all `rows`; once for its shape where there are none."""
        parts = []
        size = fit_groups(self.batch_size, self.mesh)
        for start in range(0, max(len(rows), 1), size):
            batch = rows[start : start + size]
            filled = np.resize(batch, (size, *batch.shape[1:]))
            with places.running_on(self.mesh):
                results = program(self._on_mesh, places.put_input(filled, self.mesh))
            parts.append(places.fetch(results)[: len(batch)])
        return np.concatenate(parts)

    @functools.cached_property
    def mesh(self) -> Mesh:
        """Where it runs."""
        return places.mesh_of(self.params)

    @functools.cached_property
    def _on_mesh(self) -> Any:
        return places.put_params(self.params, self.mesh)


def fit_groups(batch_size: int, mesh: Mesh) -> int:
    """The least batch size from `batch_size` on that divides over the mesh."""
    groups = batch_groups(mesh)
    return -(-batch_size // groups) * groups


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one with what is left."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
