"""Pictures with captions from anywhere, as a seqio source: split, sharded, read when needed."""

import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from babeldraw.data.images import UnreadableImage
from babeldraw.data.sources.pictures import (
    Picture,
    Reader,
    Skipped,
    collect,
    encode_name,
    in_short,
    split_pictures,
)
from babeldraw.errors import UserError


class PictureSource(seqio.DataSource):
    """Splits ``train`` and ``validation`` of what a reader lists, in order of the names.

    Examples are ``image uint8[height, width, 3]``, ``captions {text: string[n]}``, ``name`` and
    ``augment``, true in training. Hosts read disjoint pictures; a shuffle is one of all that a host
    reads, and another in each epoch.

    Attributes:
      skipped: what was left out so far. Pictures are only tried when they are read.
    """

    def __init__(
        self, reader: Reader, description: str, dropped_file: pathlib.Path | None = None
    ) -> None:
        """`description` is what errors call the source.

        `dropped_file` may hold a JSON list of names that are left out of training.
        """
        super().__init__(
            ("train", "validation"), caching_permitted=False, performs_internal_shuffling=True
        )
        self._reader, self._description, self.dropped_file = reader, description, dropped_file
        self.skipped = Skipped()

    @functools.cached_property
    def _pictures(self) -> dict[str, list[Picture]]:
        pictures = collect(self._reader(self.skipped), self.skipped)
        if not pictures:
            found = f" ({in_short(self.skipped)})" if self.skipped.kinds else ""
            raise UserError(
                f"{self._description} has no picture with a caption{found}: see "
                "docs/own_pictures.md for the layouts."
            )
        splits = split_pictures(pictures)
        if dropped := self.dropped():
            for picture in splits["train"]:
                if picture.name in dropped:
                    self.skipped.add("in an evaluation set", picture.name)
            splits["train"] = [p for p in splits["train"] if p.name not in dropped]
        return splits

    def dropped(self) -> set[str]:
        """Names that `babeldraw data dedup` has listed.

        Raises:
          UserError: the list is damaged.
        """
        if self.dropped_file is None or not self.dropped_file.exists():
            return set()
        try:
            names = json.loads(self.dropped_file.read_bytes())
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError("it is no list of names")
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"{self.dropped_file} cannot be read ({error}): remove it, and run `babeldraw data "
                "dedup` again."
            ) from error
        return set(names)

    def pictures(self, split: str) -> list[Picture]:
        """Those of a split, readable or not.

        Raises:
          UserError: the source as a whole cannot be read, or has nothing.
        """
        return self._pictures[split]

    def captions(self, split: str) -> Iterator[str]:
        """All captions of a split."""
        for picture in self.pictures(split):
            yield from picture.captions

    @property
    def supports_arbitrary_sharding(self) -> bool:
        return True

    def list_shards(self, split: str) -> list[str]:
        return [split]

    def num_input_examples(self, split: str) -> int:
        return len(self.pictures(split))

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        **unused: Any,
    ) -> tf.data.Dataset:
        """Examples as the class says."""
        pictures = self.pictures(split)
        dataset = index_dataset(len(pictures), shuffle, seed, shard_info)

        def load(index: np.int64) -> tuple[np.bool_, np.ndarray, np.ndarray, bytes]:
            picture = pictures[index]
            captions = np.array([caption.encode() for caption in picture.captions], object)
            try:
                image, good = picture.read(), True
            except UnreadableImage as error:
                self.skipped.add(error.kind, picture.name)
                image, good = np.zeros((1, 1, 3), np.uint8), False
            return np.bool_(good), image, captions, encode_name(picture.name)

        def to_example(index: tf.Tensor) -> dict[str, Any]:
            good, image, captions, name = tf.numpy_function(
                load, [index], [tf.bool, tf.uint8, tf.string, tf.string]
            )
            return {
                "good": tf.ensure_shape(good, []),
                "image": tf.ensure_shape(image, [None, None, 3]),
                "captions": {"text": tf.ensure_shape(captions, [None])},
                "name": tf.ensure_shape(name, []),
                "augment": tf.constant(split == "train"),
            }

        return good_only(dataset.map(to_example, tf.data.AUTOTUNE, deterministic=True))


def index_dataset(
    count: int, shuffle: bool, seed: int | None, shard_info: seqio.ShardInfo | None
) -> tf.data.Dataset:
    """This host's share of 0 to `count` - 1, in another order in each epoch where shuffled."""
    dataset = tf.data.Dataset.range(count)
    if shard_info:
        dataset = dataset.shard(shard_info.num_shards, shard_info.index)
    if shuffle:
        dataset = dataset.shuffle(count + 1, seed=seed, reshuffle_each_iteration=True)
    return dataset


def good_only(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Examples whose ``good`` is true, without it."""
    dataset = dataset.filter(lambda example: example["good"])
    return dataset.map(lambda example: {k: v for k, v in example.items() if k != "good"})
