"""What a run is looked at with: the same few batches every time, held out and seen."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any, Self

import jax
from jax.sharding import Mesh

from babeldraw.errors import UserError
from babeldraw.objectives.base import Batch, Constants, Objective
from babeldraw.parallel.processes import is_first
from babeldraw.parallel.rules import Rules, replicated
from babeldraw.training.batches import BatchLayout, HostBatch, batch_layout
from babeldraw.training.keeping import checkpoint_files
from babeldraw.training.state import variable_name
from babeldraw.training.watching.hooks import BatchSource

HELD_OUT, SEEN = "eval", "seen"
"""Splits of the records: pictures that are not trained on, and some of those that are."""


@dataclasses.dataclass
class FixedBatches:
    """The first `limit` batches of a dataset, the same at each use. Read when first needed.

    Attributes:
      num_epochs: as of `BatchSource.batches`; None for the batches that are trained on.
    """

    dataset: BatchSource
    limit: int
    layout: BatchLayout
    num_epochs: int | None = 1

    def load(self) -> None:
        """Reads them now, so that a split that does not exist is said before the first step."""
        self.on_host  # noqa: B018

    @functools.cached_property
    def on_host(self) -> list[HostBatch]:
        """This process's rows of them."""
        batches = self._read(self.limit, self.num_epochs)
        if not batches and self.num_epochs is not None:
            batches = self._read(1, None)  # of a small set some rows come again
            if batches and is_first():
                print("what is evaluated has less than one batch: some of it counts twice or more")
        if not batches:
            raise UserError(
                "The evaluation dataset has less than one batch: lower its batch_size or use "
                "another split."
            )
        return batches

    def _read(self, limit: int, num_epochs: int | None) -> list[HostBatch]:
        source = self.dataset.batches(
            process_index=self.layout.share.index,
            process_count=self.layout.share.count,
            num_epochs=num_epochs,
        )
        return list(itertools.islice(source, limit))

    def __getitem__(self, index: int) -> Batch:
        return self.layout.to_global(self.on_host[index])

    def __len__(self) -> int:
        return len(self.on_host)


@dataclasses.dataclass(frozen=True)
class Looked:
    """What a run is looked at with: the same batches and keys every time.

    Attributes:
      constants: of the objective, as host arrays.
      held: those of them that are on the devices all the time (`Objective.held`).
      batches: by split.
      seed: of the run.
    """

    objective: Objective
    constants: Constants
    held: Constants
    batches: Mapping[str, FixedBatches]
    seed: int
    mesh: Mesh

    @classmethod
    def at(
        cls,
        objective: Objective,
        constants: Constants,
        held: Constants,
        train_dataset: BatchSource,
        eval_dataset: BatchSource | None,
        limit: int,
        seed: int,
        mesh: Mesh,
        rules: Rules,
    ) -> Self:
        """With the first `limit` batches of each split; those held out are read at once."""
        batches = {}
        for split, dataset, epochs in ((HELD_OUT, eval_dataset, 1), (SEEN, train_dataset, None)):
            if dataset is not None:
                layout = batch_layout(objective, dataset.batch_size, mesh, rules)
                batches[split] = FixedBatches(dataset, limit, layout, epochs)
        if eval_dataset is not None:
            batches[HELD_OUT].load()
        return cls(objective, constants, held, batches, seed, mesh)

    def all_constants(self) -> Constants:
        """All constants on the devices: those that are not held for as long as the caller does."""
        held = checkpoint_files.by_name(self.held)

        def place(path: tuple[Any, ...], array: Any) -> jax.Array:
            there: jax.Array | None = held.get(variable_name(path))
            return jax.device_put(array, replicated(self.mesh)) if there is None else there

        return jax.tree.map_with_path(place, self.constants)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A traceable function of `(params, constants, batch, key)`; its results are everywhere."""
        # A bound method would be hashed with its objective, which may hold a dict.
        return jax.jit(lambda *inputs: function(*inputs), out_shardings=replicated(self.mesh))
