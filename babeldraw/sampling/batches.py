"""Any number of rows through a compiled program, in batches of one fixed size."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Shaped

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class FixedBatches:
    """A trained network, put on the device once, and called with batches of one size.

    Attributes:
      params: trained parameters, unboxed.
      batch_size: rows at a time; changes speed and memory, and results as far as rounding reaches:
        sums are added up in another order. The last batch is filled up, so that one program serves
        all.
    """

    model: Any
    params: Any
    batch_size: int = 16

    def in_batches(
        self, program: Callable[[Any, Any], jax.Array], rows: Shaped[np.ndarray, "rows *row"]
    ) -> Shaped[np.ndarray, "rows *result"]:
        """`program(params, batch)` of all `rows`; once for its shape where there are none."""
        parts = []
        for start in range(0, max(len(rows), 1), self.batch_size):
            batch = rows[start : start + self.batch_size]
            filled = np.resize(batch, (self.batch_size, *batch.shape[1:]))
            parts.append(np.asarray(program(self._on_device, filled))[: len(batch)])
        return np.concatenate(parts)

    @functools.cached_property
    def _on_device(self) -> Any:
        return jax.device_put(self.params)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one with what is left."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
