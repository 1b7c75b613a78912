"""Pictures with captions from anywhere, as a seqio source: split, sharded, read when needed."""

import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from babeldraw.data.picture_files.images import UnreadableImage
from babeldraw.data.picture_files.view import PLAIN, Needed
from babeldraw.data.sources.indexed import Example, IndexedSource
from babeldraw.data.sources.kept import KEPT, SMALL
from babeldraw.data.sources.pictures import (
    Picture,
    Reader,
    Skipped,
    collect,
    encode_name,
    in_short,
    sorted_classes,
    split_pictures,
)
from babeldraw.errors import UserError


class PictureSource(IndexedSource):
    """Splits ``train`` and ``validation`` of what a reader lists, in order of the names.

    Where folders say so (`split_pictures`), ``test`` as well.

    Examples are ``image uint8[height, width, 3]``, ``captions {text: string[n]}``, ``name`` and
    ``augment``, true in training; and, where pictures have classes, the name of its class.

    Attributes:
      skipped: what was left out so far. Pictures are only tried when they are read.
    """

    def __init__(
        self,
        reader: Reader,
        description: str,
        dropped_file: pathlib.Path | None = None,
        *,
        captioned: bool = True,
        background: tuple[int, int, int] = PLAIN.colour,
        class_feature: str = "class",
    ) -> None:
        """`description` is what errors call the source, `class_feature` what has the classes.

        `dropped_file` may hold a JSON list of names that are left out of training. Unless
        `captioned`, pictures without captions are taken, too. What is transparent is laid on the
        `background`.
        """
        super().__init__(("train", "validation"))
        self._reader, self._description, self.dropped_file = reader, description, dropped_file
        self._captioned, self._background = captioned, background
        self._class_feature = class_feature
        self.skipped = Skipped()

    @property
    def splits(self) -> tuple[str, ...]:
        """Read from the list of the pictures.

        Raises:
          UserError: as `pictures`.
        """
        return tuple(self._pictures)

    @functools.cached_property
    def _pictures(self) -> dict[str, list[Picture]]:
        pictures = collect(self._reader(self.skipped), self.skipped, captioned=self._captioned)
        if not pictures:
            found = f" ({in_short(self.skipped)})" if self.skipped.kinds else ""
            what = "picture with a caption" if self._captioned else "picture"
            raise UserError(
                f"{self._description} has no {what}{found}: see "
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

    def num_input_examples(self, split: str) -> int:
        return len(self.pictures(split))

    @functools.cached_property
    def class_features(self) -> tuple[str, ...]:
        labelled = any(picture.label for split in self._pictures.values() for picture in split)
        return (self._class_feature,) if labelled else ()

    @functools.lru_cache(maxsize=2)  # noqa: B019 (there are few sources, and they stay)
    def class_names(self, feature: str) -> tuple[str, ...]:
        return sorted_classes(picture.label for picture in self.pictures("train"))

    def spec(self, split: str) -> dict[str, Any]:
        return {
            **dict.fromkeys(self.class_features, tf.TensorSpec([], tf.string)),
            "image": tf.TensorSpec([None, None, 3], tf.uint8),
            "captions": {"text": tf.TensorSpec([None], tf.string)},
            "name": tf.TensorSpec([], tf.string),
            "augment": tf.TensorSpec([], tf.bool),
        }

    def read(self, split: str, index: int, needed: Needed | None = None) -> Example | None:
        pictures = self.pictures(split)
        picture = pictures[index]
        decode = functools.partial(picture.read, self._background, needed)
        try:
            # As it is in its file, a picture is looked at once; for training it comes again.
            if needed is not None and len(pictures) <= SMALL:
                image = KEPT.get((picture.place, self._background, needed), decode)
            else:
                image = decode()
        except UnreadableImage as error:
            self.skipped.add(error.kind, picture.name)
            return None
        captions = [caption.encode() for caption in picture.captions]
        return {
            **dict.fromkeys(self.class_features, picture.label.encode()),
            "image": image,
            "captions": {"text": np.array(captions, object)},
            "name": encode_name(picture.name),
            "augment": split == "train",
        }
