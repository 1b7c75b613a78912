"""Batches and examples of any seqio task, from its beginning on, as tf.data streams them.

For tasks that `per_example` does not know, and for sets that are read once as a whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from babeldraw.data.feature_converter import (
    TextToImageFeatureConverter,
    TextToTokensFeatureConverter,
)
from babeldraw.sizes import Size


def batches(
    provider: Any,
    lengths: Mapping[str, Size],
    split: str,
    rows: int,
    num_epochs: int | None,
    share: seqio.ShardInfo,
    *,
    shuffle: bool,
    seed: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Batches of `rows` of a host's share; with `num_epochs`, as many on every host."""
    dataset = seqio.get_dataset(
        mixture_or_task_name=provider,
        task_feature_lengths=dict(lengths),
        feature_converter=_converter(lengths)(),
        dataset_split=split,
        shuffle=shuffle,
        num_epochs=num_epochs,
        shard_info=share,
        verbose=False,
        seed=seed,
        trim_output_features=False,  # the preprocessors do it, and keep the end id
    )
    if num_epochs is not None:  # hosts may hold one example more or less, but stop together
        smallest_share = sum(
            task.num_input_examples(split) // share.num_shards
            for task in getattr(provider, "tasks", [provider])
            if split in task.splits
        )
        if share.num_shards > 1:
            # A host with broken pictures begins again rather than stop before the others.
            dataset = dataset.repeat()
        dataset = dataset.batch(rows, drop_remainder=True)
        dataset = dataset.take(smallest_share * num_epochs // rows)
    else:
        dataset = dataset.batch(rows, drop_remainder=True)
    iterator: Iterator[dict[str, np.ndarray]] = dataset.prefetch(2).as_numpy_iterator()
    return iterator


def examples(
    provider: Any,
    lengths: Mapping[str, Size],
    split: str,
    limit: int | None = None,
    described: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """The split in order, stacked; those of the features `described` that there are come along."""
    dataset = provider.get_dataset(
        lengths, split=split, shuffle=False, seed=0, num_epochs=1, trim_output_features=False
    )
    present = [key for key in described if key in dataset.element_spec]
    dataset = _converter(lengths)(present)(dataset, {**lengths, **dict.fromkeys(present, 1)})
    return _stack(dataset if limit is None else dataset.take(limit))


def _converter(lengths: Mapping[str, Size]) -> type[TextToImageFeatureConverter]:
    if "image_tokens" in lengths:
        return TextToTokensFeatureConverter
    return TextToImageFeatureConverter


def _stack(dataset: tf.data.Dataset) -> dict[str, np.ndarray]:
    """Reads a dataset with one thread and stacks it; leaves no thread behind. Empty: `{}`."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.autotune.enabled = False
    chunks = list(dataset.batch(256).with_options(options).as_numpy_iterator())
    keys = chunks[0] if chunks else ()
    return {key: np.concatenate([chunk[key] for chunk in chunks]) for key in keys}
