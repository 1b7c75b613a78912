"""The emoji set behind seqio sources: with one caption a cell, or with all that people type."""

import functools
import io
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds

from babeldraw.data.picture_files.images import decode_image
from babeldraw.data.picture_files.view import Needed
from babeldraw.data.sets import emoji, emoji_sheets, emoji_words
from babeldraw.data.sources.indexed import Example, Indexed, IndexedSource
from babeldraw.data.sources.tfds_records import TfdsRecords


class EmojiSource(seqio.TfdsDataSource, Indexed):
    """Reads a config of `emoji.Emoji`, preparing it when first asked for anything."""

    def __init__(self, config_name: str):
        self._config_name = config_name
        splits = ["train", "heldout_style", "heldout_people"]
        if not config_name.startswith("all_"):
            splits.remove("heldout_style")
        super().__init__(f"emoji/{config_name}:{emoji.Emoji.VERSION}", splits=splits)

    @property
    def tfds_dataset(self) -> Any:
        folder = str(_prepare_once(self._config_name, os.environ.get("BABELDRAW_DATA_DIR")))
        self._tfds_dataset.override_data_dir(folder)
        return self._tfds_dataset

    def get_dataset(
        self, split: str | None = None, shuffle: bool = True, **kwargs: Any
    ) -> tf.data.Dataset:
        del shuffle  # a split is one file, in order: the task's buffer alone shuffles
        return super().get_dataset(split=split, shuffle=False, **kwargs)

    @functools.lru_cache(maxsize=8)  # noqa: B019 (there are few sources, and they stay)
    def _records(self, split: str) -> TfdsRecords:
        return TfdsRecords(self.tfds_dataset.builder, split)

    @property
    def class_features(self) -> tuple[str, ...]:
        return emoji.CLASS_FEATURES

    @functools.lru_cache(maxsize=8)  # noqa: B019 (there are few sources, and they stay)
    def class_names(self, feature: str) -> tuple[str, ...]:
        found = {emoji.class_of(value, feature) for value in self._values("train", feature)}
        return emoji.in_order(found, feature)

    def class_of(self, example: Example, feature: str) -> str:
        return emoji.class_of(example[feature], feature)

    def spec(self, split: str) -> dict[str, Any]:
        features = self.tfds_dataset.builder.info.features
        return {key: tf.TensorSpec(value.shape, value.tf_dtype) for key, value in features.items()}

    def read(self, split: str, index: int, needed: Needed | None = None) -> Example:
        example = self.record(split, index)
        return {**example, "image": decode_image(io.BytesIO(example["image"]), self._config_name)}

    def record(self, split: str, index: int) -> Example:
        """An example whose picture is still a file."""
        return self._records(split).read(index)

    def captions(self, split: str) -> Iterator[str]:
        """All captions of a split; pictures are not decoded."""
        yield from (caption.decode() for caption in self._values(split, "caption"))

    def _values(self, split: str, feature: str) -> Iterator[Any]:
        decoders = tfds.decode.PartialDecoding({feature: True})
        dataset = self.tfds_dataset.builder.as_dataset(split=split, decoders=decoders)
        yield from (example[feature] for example in dataset.as_numpy_iterator())


class EmojiWords(IndexedSource):
    """The whole set with every caption of `emoji_words.captions`; training draws one each time.

    Examples are ``image uint8[size, size, 3]``, ``captions {text: string[n]}``, ``name`` (as
    ``noto/1f34e``), ``augment``, true in training, and the names of `emoji.CLASS_FEATURES`.
    """

    def __init__(self, size: int) -> None:
        self._pictures, self._size = EmojiSource(f"all_{size}"), size
        super().__init__(tuple(self._pictures.splits))

    @functools.cached_property
    def _said(self) -> dict[str, tuple[str, ...]]:
        """The captions of each cell, by its name."""
        words, alone = emoji_words.read_words(), emoji_words.telling()
        cells = emoji_sheets.read_cells(emoji_sheets.find_folder(self._size))
        return {
            f"{cell.style}/{cell.concept}": emoji_words.captions(
                cell, words[emoji_words.without_tones(cell.concept)], alone
            )
            for cell in cells
        }

    @property
    def class_features(self) -> tuple[str, ...]:
        return self._pictures.class_features

    def class_names(self, feature: str) -> tuple[str, ...]:
        return self._pictures.class_names(feature)

    def num_input_examples(self, split: str) -> int:
        return self._pictures.num_input_examples(split) or 0

    def captions(self, split: str) -> Iterator[str]:
        """All captions of a split, each once; pictures are not decoded."""
        for index in range(self.num_input_examples(split)):
            example = self._pictures.record(split, index)
            yield from dict.fromkeys(self._said[_name(example)])

    def spec(self, split: str) -> dict[str, Any]:
        return {
            **dict.fromkeys(self.class_features, tf.TensorSpec([], tf.string)),
            "image": tf.TensorSpec([self._size, self._size, 3], tf.uint8),
            "captions": {"text": tf.TensorSpec([None], tf.string)},
            "name": tf.TensorSpec([], tf.string),
            "augment": tf.TensorSpec([], tf.bool),
        }

    def read(self, split: str, index: int, needed: Needed | None = None) -> Example:
        example = self._pictures.read(split, index)
        name = _name(example)
        return {
            **{f: emoji.class_of(example[f], f).encode() for f in self.class_features},
            "image": example["image"],
            "captions": {"text": np.array([text.encode() for text in self._said[name]], object)},
            "name": name.encode(),
            "augment": split == "train",
        }


def _name(example: Example) -> str:
    return f"{example['style'].decode()}/{example['concept'].decode()}"


@functools.cache
def _prepare_once(config_name: str, data_dir: str | None) -> pathlib.Path:
    del data_dir  # part of the key only
    return emoji.prepare(config_name)
