"""Any TFDS data set of pictures with texts or classes, as its user prepared it.

Which features are the picture, its captions and its classes is seen from their types and names.
"""

import contextlib
import functools
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds

from babeldraw.data.picture_files.images import UnreadableImage, decode_image
from babeldraw.data.picture_files.view import PLAIN, Needed
from babeldraw.data.sources.indexed import Example, Indexed
from babeldraw.data.sources.pictures import Skipped
from babeldraw.data.sources.readers import CAPTION_KEYS
from babeldraw.data.sources.tfds_records import TfdsRecords
from babeldraw.errors import UserError

VALIDATION = {"train": "train[:98%]", "validation": "train[98%:]"}
"""The splits of a set that has `train` alone."""


class TfdsPictures(seqio.TfdsDataSource, Indexed):
    """A prepared TFDS set, with the examples of `picture_source.PictureSource` but for names.

    Each `ClassLabel` is a feature with classes, in the set's own order. Its splits are the set's
    own; one with `train` alone gets a `validation` of its last 2%.

    Attributes:
      skipped: broken pictures that were met so far; they are left out.
    """

    def __init__(
        self,
        tfds_name: str,
        tfds_data_dir: str | None = None,
        splits: Mapping[str, str] | list[str] | None = None,
        background: tuple[int, int, int] = PLAIN.colour,
        *,
        captioned: bool = True,
    ) -> None:
        """`tfds_name` is as in `tfds.builder`, such as ``coco_captions/2014:1.1.0``.

        Unless `captioned`, the set needs no texts.

        Raises:
          UserError: the name has no version, and TFDS knows no such set; or it has a namespace.
        """
        self.name, self.own_splits, self._background = tfds_name, splits, background
        self._captioned = captioned
        self.skipped = Skipped()
        with self._explained():
            parsed, _ = tfds.core.naming.parse_builder_name_kwargs(tfds_name)
        if parsed.namespace:  # A name may come with somebody's run, and is to run nothing.
            raise UserError(
                f"{tfds_name!r} names a set of the namespace {parsed.namespace!r}, whose code TFDS "
                "would download and run: name one of TFDS's own, or a set that you have prepared."
            )
        if ":" not in tfds_name:  # seqio wants a version
            with self._explained():
                version = tfds.builder(tfds_name, data_dir=tfds_data_dir).info.version
                tfds_name = f"{tfds_name}:{version}"
        self.tfds_name = tfds_name  # with its version
        super().__init__(tfds_name, tfds_data_dir=tfds_data_dir, splits=splits)

    @property
    def features(self) -> Mapping[str, Any]:
        """Of the set, prepared or not.

        Raises:
          UserError: there is no such set.
        """
        with self._explained():
            found: Mapping[str, Any] = self._tfds_dataset.builder.info.features
        return found

    @property
    def splits(self) -> tuple[str, ...]:
        if self.own_splits is not None:
            return tuple(self.own_splits)
        found = tuple(self.tfds_dataset.builder.info.splits)
        return tuple(VALIDATION) if found == ("train",) else found

    @functools.cached_property
    def tfds_dataset(self) -> Any:
        """The loader.

        Raises:
          UserError: there is no such set, or it is not prepared.
        """
        loader = self._tfds_dataset
        with self._explained():
            builder = loader.builder
        if not builder.is_prepared():
            raise UserError(
                f"{self.name} is not prepared under {builder.data_dir}: run `tfds build "
                f"{self.name.split(':')[0]}` (it may be a large download), or point TFDS_DATA_DIR "
                "at the folder that holds it."
            )
        if self.own_splits is None and tuple(builder.info.splits) == ("train",):
            loader._split_map = VALIDATION
        return loader

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (tfds.core.DatasetNotFoundError, ValueError, AssertionError) as error:
            raise UserError(
                f"TFDS has no data set {self.name!r}: see https://www.tensorflow.org/datasets for "
                "the names."
            ) from error

    @functools.cached_property
    def _keys(self) -> tuple[str, tuple[str, ...] | None]:
        """The picture's feature, and the path to the captions', if there are any."""
        features = self.tfds_dataset.builder.info.features
        images = [key for key, value in features.items() if isinstance(value, tfds.features.Image)]
        texts = dict(_texts(features))
        named = [key for key in CAPTION_KEYS if key in texts]
        if "image" in images:
            images = ["image"]
        told = bool(named) or len(texts) == 1
        if len(images) != 1 or (self._captioned and not told):
            classes = f", or CLASS_FEATURE={self._labels[0]!r}" if images and self._labels else ""
            what = "picture with captions" if self._captioned else "picture"
            raise UserError(
                f"{self.name} has no one {what} a row: its features are {', '.join(features)}; use "
                f"another set{classes}."
            )
        return images[0], texts[(named or list(texts))[0]] if told else None

    @property
    def _labels(self) -> list[str]:
        features = self.tfds_dataset.builder.info.features
        return [name for name in features if isinstance(features[name], tfds.features.ClassLabel)]

    @property
    def class_features(self) -> tuple[str, ...]:
        return tuple(self._labels)

    def class_names(self, feature: str) -> tuple[str, ...]:
        return tuple(self.tfds_dataset.builder.info.features[feature].names)

    def _class_names_and_none(self, feature: str) -> tuple[str, ...]:
        """With the empty name last: -1, in test splits that do not tell, is its number."""
        return (*self.class_names(feature), "")

    def num_input_examples(self, split: str) -> int | None:
        """As seqio's.

        Raises:
          UserError: the set has no such rows.
        """
        self._keys  # noqa: B018
        count: int | None = seqio.TfdsDataSource.num_input_examples(self, split)
        return count

    def captions(self, split: str) -> Iterator[str]:
        """All captions of a split, one by one; pictures are not decoded."""
        _, path = self._keys
        if path is None:
            return
        loader = self.tfds_dataset
        decoders = tfds.decode.PartialDecoding(_nested(path, True))
        dataset = loader.builder.as_dataset(split=loader._map_split(split), decoders=decoders)
        for example in dataset.as_numpy_iterator():
            for key in path:
                example = example[key]
            texts = [example] if isinstance(example, bytes) else example
            yield from (text.decode("utf-8", "replace") for text in texts)

    def get_dataset(self, split: str | None = None, **kwargs: Any) -> tf.data.Dataset:
        """As seqio's, in the form of the class."""
        image, path = self._keys

        def convert(example: dict[str, Any]) -> dict[str, Any]:
            captions = _at(example, path, tf.constant([], tf.string))
            labels = {
                label: tf.constant(self._class_names_and_none(label))[example[label]]
                for label in self._labels
            }
            picture = example[image]
            if picture.shape[-1] == 1:
                picture = tf.image.grayscale_to_rgb(picture)
            return {
                **labels,
                "image": tf.ensure_shape(picture, [None, None, 3]),
                "captions": {"text": tf.reshape(captions, [-1])},
                "augment": tf.constant(split == "train"),
            }

        return super().get_dataset(split=split, **kwargs).map(convert, tf.data.AUTOTUNE)

    @functools.lru_cache(maxsize=8)  # noqa: B019 (there are few sources, and they stay)
    def _records(self, split: str) -> TfdsRecords:
        loader = self.tfds_dataset
        return TfdsRecords(loader.builder, loader._map_split(split))

    def spec(self, split: str) -> dict[str, Any]:
        self._keys, self._records(split)
        return {
            **dict.fromkeys(self._labels, tf.TensorSpec([], tf.string)),
            "image": tf.TensorSpec([None, None, 3], tf.uint8),
            "captions": {"text": tf.TensorSpec([None], tf.string)},
            "augment": tf.TensorSpec([], tf.bool),
        }

    def read(self, split: str, index: int, needed: Needed | None = None) -> Example | None:
        image, path = self._keys
        example = self._records(split).read(index)
        captions = _at(example, path, ())
        try:
            picture = decode_image(
                io.BytesIO(example[image]),
                f"{self.name} {split} {index}",
                background=self._background,
                needed=needed,
            )
        except UnreadableImage as error:
            self.skipped.add(error.kind, f"{split}: example {index}")
            return None
        return {
            **{
                label: self._class_names_and_none(label)[example[label]].encode()
                for label in self._labels
            },
            "image": picture,
            "captions": {"text": np.asarray(captions, object).reshape(-1)},
            "augment": split == "train",
        }


def _texts(features: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each feature that is a text or a sequence of texts, and the path to it."""
    for key, value in features.items():
        inner = getattr(value, "feature", value)  # of a sequence
        if _is_text(key, inner):
            yield key, (key,)
        elif isinstance(inner, tfds.features.FeaturesDict) and inner is not value:
            found = [name for name, text in inner.items() if _is_text(name, text)]
            if len(found) == 1:
                yield key, (key, found[0])


def _is_text(key: str, feature: Any) -> bool:
    """A string that by its own name is no name of a file, id or URL."""
    if not isinstance(feature, tfds.features.Tensor) or feature.shape:
        return False
    words = {*re.split(r"[\W_]+", key.lower())}
    return tf.as_dtype(feature.dtype) == tf.string and not words & {"name", "filename", "id", "url"}


def _at(example: Any, path: tuple[str, ...] | None, otherwise: Any) -> Any:
    """What is at a path of keys, where there is one."""
    if path is None:
        return otherwise
    for key in path:
        example = example[key]
    return example


def _nested(path: tuple[str, ...], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value
