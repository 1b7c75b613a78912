"""Our datasets as T5X reads them: by seqio for evaluation, and in our own order for training."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from clu.data import dataset_iterator
from etils import epath
from t5x import utils

from babeldraw.data.streams.pipeline import Dataset
from babeldraw.data.t5x_features import settings_of
from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective


def dataset_config(dataset: Dataset) -> utils.DatasetConfig:
    """The seqio task of a dataset, its split, sizes and batch size."""
    return utils.DatasetConfig(**settings_of(dataset), seed=dataset.seed)


def in_our_order(
    cfg: utils.DatasetConfig,
    shard_id: int,
    num_shards: int,
    feature_converter_cls: Callable[..., Any],
    *,
    dataset: Dataset,
    objective: Objective,
) -> "Batches":
    """For T5X's `get_dataset_fn`: the batches that `babeldraw train` has, step for step.

    Args:
      cfg: `dataset_config` of the same dataset.
      objective: what each batch is looked at by.
    """
    del cfg, feature_converter_cls  # `dataset` says the same.
    return Batches(dataset, objective, shard_id, num_shards)


class Batches(dataset_iterator.DatasetIterator):
    """A host's rows of the batches of a dataset, from the step that it has come to.

    What it saves is the number of that step, which is all that it depends on.
    """

    def __init__(self, dataset: Dataset, objective: Objective, index: int, count: int) -> None:
        self._dataset, self._objective = dataset, objective
        self._index, self._count = index, count
        self.reset()

    def reset(self) -> None:
        """Goes back to the first batch."""
        self._begin(0)

    def _begin(self, step: int) -> None:
        self._step = step
        self._batches: Iterator[dict[str, np.ndarray]] = self._dataset.batches(
            process_index=self._index, process_count=self._count, start_step=step
        )
        self._next = next(self._batches)  # Its shapes are asked for before any batch is.

    def __next__(self) -> dict[str, np.ndarray]:
        batch = self._next
        self._objective.check_batch(batch)
        self._next = next(self._batches)
        self._step += 1
        return batch

    @property
    def element_spec(self) -> dict[str, dataset_iterator.ArraySpec]:
        """Dtype and shape of each entry of a host's rows."""
        return {
            name: dataset_iterator.ArraySpec(array.dtype, array.shape)
            for name, array in self._next.items()
        }

    def save(self, filename: str) -> None:
        epath.Path(filename).write_text(json.dumps({"step": self._step}))

    def load(self, filename: str) -> None:
        """Goes on where the checkpoint's run was.

        Raises:
          UserError: it holds no such number.
        """
        try:
            step = json.loads(epath.Path(filename).read_text())["step"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{filename} does not say how far the data were read: begin from the checkpoint's "
                "parameters in another MODEL_DIR (gin/t5x/finetune.gin)."
            ) from error
        self._begin(step)

    restore = load
