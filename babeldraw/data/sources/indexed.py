"""Sources whose examples are had by number, in any order: what makes a stream a function of k."""

import abc
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from babeldraw.data.picture_files.view import Needed

Example = dict[str, Any]
"""Arrays, those of strings holding bytes objects; may be nested in dicts."""


class NotIndexed(Exception):
    """The source, or what is done with its examples, knows no way to one but past those before."""


class Indexed(abc.ABC):
    """Reads any one of its examples; `babeldraw.data.streams.pipeline` goes by it."""

    @abc.abstractmethod
    def read(self, split: str, index: int, needed: Needed | None = None) -> Example | None:
        """An example, as `spec` has it; None where it is broken, which is counted.

        Args:
          needed: a picture may come smaller than its file has it, if it is as large as this says.
        """

    @abc.abstractmethod
    def num_input_examples(self, split: str) -> int | None:
        """How many there are, broken or not."""

    @abc.abstractmethod
    def spec(self, split: str) -> dict[str, Any]:
        """Of its examples: nested `tf.TensorSpec`s.

        Raises:
          NotIndexed: this one's files are read from their beginning only.
        """

    @property
    def class_features(self) -> tuple[str, ...]:
        """Those of its features that say which class an example is of."""
        return ()

    def class_names(self, feature: str) -> tuple[str, ...]:
        """The classes that training has by one of `class_features`, in an order of their own."""
        raise KeyError(feature)

    def class_of(self, example: Example, feature: str) -> str:
        """The name of an example's class; empty where it has none."""
        name: str = example[feature].decode("utf-8", "backslashreplace")
        return name


class IndexedSource(seqio.DataSource, Indexed):
    """A seqio source of them.

    `get_dataset` is for other programs, with hosts and shuffles as seqio has them.
    """

    def __init__(self, splits: tuple[str, ...]) -> None:
        super().__init__(splits, caching_permitted=False, performs_internal_shuffling=True)

    @property
    def supports_arbitrary_sharding(self) -> bool:
        return True

    def list_shards(self, split: str) -> list[str]:
        return [split]

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        **unused: Any,
    ) -> tf.data.Dataset:
        """This host's share, in another order in each epoch where shuffled; none that is broken."""
        count, spec = self.num_input_examples(split) or 0, self.spec(split)
        dataset = tf.data.Dataset.range(count)
        if shard_info:
            dataset = dataset.shard(shard_info.num_shards, shard_info.index)
        if shuffle:
            dataset = dataset.shuffle(count + 1, seed=seed, reshuffle_each_iteration=True)
        flat = tf.nest.flatten(spec)

        def load(index: np.int64) -> list[Any]:
            example = self.read(split, int(index))
            if example is None:
                return [np.False_, *(_empty(part) for part in flat)]
            values = zip(tf.nest.flatten(example), flat, strict=True)
            return [np.True_, *(as_array(value, part) for value, part in values)]

        def to_example(index: tf.Tensor) -> tuple[tf.Tensor, dict[str, Any]]:
            good, *values = tf.numpy_function(
                load, [index], [tf.bool, *(part.dtype for part in flat)]
            )
            shaped = [
                tf.ensure_shape(value, part.shape) for value, part in zip(values, flat, strict=True)
            ]
            return tf.ensure_shape(good, []), tf.nest.pack_sequence_as(spec, shaped)

        dataset = dataset.map(to_example, tf.data.AUTOTUNE, deterministic=True)
        return dataset.filter(lambda good, _: good).map(lambda _, example: example)


def as_array(value: Any, spec: tf.TensorSpec) -> Any:
    """A value as TensorFlow takes it, strings as objects."""
    return np.asarray(value, object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype)


def _empty(spec: tf.TensorSpec) -> Any:
    shape = [side or 1 for side in spec.shape]
    if spec.dtype == tf.string:
        return np.full(shape, b"", object)
    return np.zeros(shape, spec.dtype.as_numpy_dtype)
