"""Texts without pictures as seqio sources: files of one's own, TFDS sets, captions of pictures.

Their examples are ``text string`` and ``augment``, true in training. Equal texts of files are in
one split.
"""

import contextlib
import functools
import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds
from jaxtyping import Int

from babeldraw import files
from babeldraw.data.picture_files.view import Needed
from babeldraw.data.sources.indexed import Example, Indexed, IndexedSource, NotIndexed
from babeldraw.data.sources.pictures import Skipped, in_short
from babeldraw.data.sources.tfds_records import TfdsRecords
from babeldraw.errors import UserError

SUFFIXES = (".txt", ".jsonl")
"""A text a line; or an object a line, whose text is under one of `KEYS`."""

KEYS = ("text", "caption")

VALIDATION_SHARE = 0.02

MOST_BY_NUMBER = 20_000_000
"""Records of a TFDS set that are read by number: their places take memory. Larger ones stream."""

_SPEC = {"text": tf.TensorSpec([], tf.string), "augment": tf.TensorSpec([], tf.bool)}


class Texts(IndexedSource):
    """What sources of texts share."""

    def spec(self, split: str) -> dict[str, Any]:
        return _SPEC

    def captions(self, split: str) -> Iterator[str]:
        """All texts of a split."""
        for index in range(self.num_input_examples(split) or 0):
            example = self.read(split, index)
            if example is not None:
                yield example["text"].decode("utf-8", "replace")


class TextFiles(Texts):
    """Lines of files. Where each begins is found once; texts stay in their files.

    Attributes:
      skipped: lines without a text.
    """

    def __init__(self, where: pathlib.Path, description: str) -> None:
        """`where` is a file, or a folder with files at any depth, in order of their names."""
        super().__init__(("train", "validation"))
        self._where, self._description = where, description
        self.skipped = Skipped()

    @functools.cached_property
    def _files(self) -> list[pathlib.Path]:
        if self._where.is_file():
            return [self._where]
        return sorted(
            path
            for path in self._where.rglob("*")
            if path.suffix in SUFFIXES and path.is_file() and not path.name.startswith(".")
        )

    @functools.cached_property
    def _places(self) -> dict[str, Int[np.ndarray, "texts 2"]]:
        """Split -> file and offset of each text."""
        places: dict[str, list[tuple[int, int]]] = {"train": [], "validation": []}
        for number, path in enumerate(self._files):
            with path.open("rb") as file:
                offset = 0
                for count, line in enumerate(file, 1):
                    text = self._text(line, path)
                    if text is None:
                        self.skipped.add("damaged", f"{path.name}:{count}")
                    elif text:
                        places[_split_of(text)].append((number, offset))
                    offset += len(line)
        if not any(places.values()):
            kinds = " or ".join(SUFFIXES)
            found = f" ({in_short(self.skipped)})" if self.skipped.kinds else ""
            raise UserError(
                f"{self._description} has no text{found}: give {kinds} files, a text a line, in "
                f".jsonl as {{{json.dumps(KEYS[0])}: ...}}."
            )
        if not places["validation"]:  # of a small set
            places["validation"] = places["train"][::50]
            taken = {*places["validation"]}
            places["train"] = [place for place in places["train"] if place not in taken] or [*taken]
        return {split: np.array(found, np.int64) for split, found in places.items()}

    def _text(self, line: bytes, path: pathlib.Path) -> bytes | None:
        if path.suffix != ".jsonl":
            return line.strip()
        if not line.strip():
            return b""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return None
        values = [found.get(key) for key in KEYS] if isinstance(found, dict) else []
        texts = [value for value in values if isinstance(value, str)]
        return texts[0].strip().encode("utf-8", "replace") if texts else None

    def num_input_examples(self, split: str) -> int:
        """How many texts a split has; empty lines are none.

        Raises:
          UserError: there is none at all.
        """
        return len(self._places[split])

    def read(self, split: str, index: int, needed: Needed | None = None) -> Example | None:
        number, offset = self._places[split][index]
        path = self._files[number]
        with path.open("rb") as file:
            file.seek(offset)
            text = self._text(file.readline(), path)
        return {"text": text, "augment": split == "train"} if text else None

    def digest(self, split: str) -> str:
        """Of the files' names and sizes, and how many texts of them the split has."""
        told = hashlib.sha256(f"{self.num_input_examples(split)}\n".encode())
        for path in self._files:
            told.update(f"{path.name} {path.stat().st_size}\n".encode("utf-8", "surrogateescape"))
        return told.hexdigest()


def _split_of(text: bytes) -> str:
    fraction = int.from_bytes(hashlib.sha256(text).digest()[:8], "little") / 2**64
    return "validation" if fraction < VALIDATION_SHARE else "train"


class CaptionTexts(Texts):
    """The captions of pictures, each as often as there are pictures that have it."""

    def __init__(self, pictures: Any) -> None:
        """`pictures` is the source of a task of pictures, with `captions`."""
        super().__init__(tuple(pictures.splits))
        self._pictures = pictures

    @functools.lru_cache(maxsize=4)  # noqa: B019 (there are few sources, and they stay)
    def _texts(self, split: str) -> Sequence[bytes]:
        found = (text.strip() for text in self._pictures.captions(split))
        return [text.encode("utf-8", "replace") for text in found if text]

    def num_input_examples(self, split: str) -> int:
        return len(self._texts(split))

    def read(self, split: str, index: int, needed: Needed | None = None) -> Example | None:
        return {"text": self._texts(split)[index], "augment": split == "train"}

    def digest(self, split: str) -> str:
        """Of all texts."""
        return hashlib.sha256(b"\n".join(self._texts(split))).hexdigest()


class TfdsTexts(seqio.TfdsDataSource, Indexed):
    """A prepared TFDS set of texts, such as ``c4/en``: its feature ``text``, or its only text."""

    def __init__(self, pictures: Any) -> None:
        """`pictures` is the `TfdsPictures` of the name, which has looked it up."""
        super().__init__(pictures.tfds_name, splits=pictures.own_splits)
        self._pictures = pictures

    @property
    def splits(self) -> tuple[str, ...]:
        found: tuple[str, ...] = self._pictures.splits
        return found

    @property
    def tfds_dataset(self) -> Any:
        return self._pictures.tfds_dataset

    @functools.cached_property
    def _key(self) -> str:
        features = self.tfds_dataset.builder.info.features
        texts = [key for key, value in features.items() if isinstance(value, tfds.features.Text)]
        if "text" in texts:
            return "text"
        if len(texts) != 1:
            raise UserError(
                f"{self._pictures.name} has no feature 'text': its features are "
                f"{', '.join(features)}; use another set, or write its texts to a file and give "
                "text:FILE."
            )
        only: str = texts[0]
        return only

    @functools.lru_cache(maxsize=8)  # noqa: B019 (there are few sources, and they stay)
    def _records(self, split: str) -> TfdsRecords:
        loader = self.tfds_dataset
        if (self.num_input_examples(split) or 0) > MOST_BY_NUMBER:
            raise NotIndexed(self._pictures.name)
        return TfdsRecords(loader.builder, loader._map_split(split))

    def spec(self, split: str) -> dict[str, Any]:
        self._key, self._records(split)
        return _SPEC

    def read(self, split: str, index: int, needed: Needed | None = None) -> Example | None:
        text = self._records(split).read(index)[self._key]
        return {"text": text, "augment": split == "train"} if text.strip() else None

    def get_dataset(self, split: str | None = None, **kwargs: Any) -> tf.data.Dataset:
        """As seqio's, in the form of the module."""

        def convert(example: dict[str, Any]) -> dict[str, Any]:
            return {"text": example[self._key], "augment": tf.constant(split == "train")}

        return super().get_dataset(split=split, **kwargs).map(convert, tf.data.AUTOTUNE)

    def captions(self, split: str) -> Iterator[str]:
        """All texts of a split."""
        for example in self.get_dataset(split, shuffle=False).as_numpy_iterator():
            yield example["text"].decode("utf-8", "replace")


def has_no_pictures(source: Any) -> bool:
    """Whether a TFDS set has texts alone; false where it is not known."""
    with contextlib.suppress(UserError):
        features = source.features
        images = [value for value in features.values() if isinstance(value, tfds.features.Image)]
        return not images
    return False


def find(where: str, name: str) -> pathlib.Path:
    """The file or folder of ``text:WHERE``.

    Raises:
      UserError: there is none, or it is in a bucket.
    """
    if files.is_remote(where):
        raise UserError(
            f"text: reads files of this machine, and {name} is in a bucket: copy them, or mount "
            "the bucket with gcsfuse."
        )
    path = pathlib.Path(where).expanduser().absolute()
    if not where or not path.exists():
        raise UserError(f"There is no {where!r}, which {name!r} names: check the path.")
    return path
