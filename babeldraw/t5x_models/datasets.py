"""Our datasets as T5X reads them: by seqio for evaluation, and in our own order for training."""

from collections.abc import Callable
from typing import Any

from t5x import utils

from babeldraw.data.streams.pipeline import Dataset
from babeldraw.data.t5x_features import settings_of
from babeldraw.objectives.base import Objective
from babeldraw.t5x_models.batches import Batches


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
) -> Batches:
    """For T5X's `get_dataset_fn`: the batches that `babeldraw train` has, step for step.

    Args:
      cfg: `dataset_config` of the same dataset.
      objective: what each batch is looked at by.
    """
    del cfg, feature_converter_cls  # `dataset` says the same.
    return Batches(dataset, objective, shard_id, num_shards)
