"""Our order of the data as an iterator that T5X saves and restores."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from clu.data import dataset_iterator

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective
from babeldraw.training.keeping.steps import T5X_PREFIX

SAVED = "Which batch comes next is the step in the checkpoint's name.\n"


class Batches(dataset_iterator.DatasetIterator):
    """A host's rows of the batches of a dataset, as `babeldraw train` has them.

    Where it stands depends on the step alone. T5X looks at a batch ahead of its first step, so that
    how many have been taken would not tell.

    Attributes:
      dataset: as `loop.train` takes one.
      objective: what each batch is looked at by.
      index, count: of the host, and how many there are.
    """

    def __init__(self, dataset: Any, objective: Objective, index: int, count: int) -> None:
        self._dataset, self._objective = dataset, objective
        self._index, self._count = index, count
        self.reset()

    def reset(self) -> None:
        """Goes back to the first batch."""
        self._begin(0)

    def _begin(self, step: int) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = self._dataset.batches(
            process_index=self._index, process_count=self._count, start_step=step
        )
        self._next = next(self._batches)  # Its shapes are asked for before any batch is.

    def __next__(self) -> dict[str, np.ndarray]:
        batch: dict[str, np.ndarray] = self._next
        self._objective.check_batch(batch)
        self._next = next(self._batches)
        return batch

    @property
    def element_spec(self) -> dict[str, dataset_iterator.ArraySpec]:
        """Dtype and shape of each entry of a host's rows."""
        return {
            name: dataset_iterator.ArraySpec(array.dtype, array.shape)
            for name, array in self._next.items()
        }

    def save(self, filename: str) -> None:
        """Leaves a file: in an object store an empty folder is none."""
        files.path(filename).write_text(SAVED)

    def load(self, filename: str) -> None:
        """Goes on after the step of the checkpoint that the file is in.

        Raises:
          UserError: it is in none.
        """
        found = re.findall(rf"/{T5X_PREFIX}(\d+)/", filename)
        if not found:
            raise UserError(f"{filename} is in no folder {T5X_PREFIX}STEP: give back its name.")
        self._begin(int(found[-1]))

    restore = load
