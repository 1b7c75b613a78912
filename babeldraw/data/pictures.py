"""Pictures with captions from anywhere, as a seqio source: split, sharded, read when needed.

What cannot be used is left out, counted by kind and named; see `Skipped`.
"""

import dataclasses
import functools
import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
from jaxtyping import UInt8

from babeldraw.data.images import UnreadableImage, decode_image, read_image
from babeldraw.errors import UserError

VALIDATION_SHARE = 0.02
"""Of the pictures, by a hash of their names."""

SMALLEST_VALIDATION = 32
"""Pictures, so that a small set can be evaluated in batches; but at most a fifth of the set."""

SAID = 5  # names of each kind that go to the log

_log = logging.getLogger(__name__)


class Skipped:
    """What was left out.

    Attributes:
      kinds: names by kind, in the order in which they were met, each once. Kinds are those of
        `UnreadableImage` and `no caption`, `empty caption`, `invalid UTF-8`, `malformed line`,
        `missing picture`, `path outside the folder`, `damaged shard`, `failed download`.
    """

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, None]] = {}

    def add(self, kind: str, name: str) -> None:
        """Counts a name; the first few of each kind are logged."""
        names = self.kinds.setdefault(kind, {})
        if name in names:
            return
        names[name] = None
        if len(names) <= SAID:
            more = " (more of this kind are left out in silence)" if len(names) == SAID else ""
            _log.warning("left out, %s: %s%s", kind, printable(name), more)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a picture's bytes are: a whole file, or `size` bytes of it from `offset` on."""

    file: str
    offset: int = 0
    size: int | None = None


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture and its captions, which are not empty.

    Attributes:
      name: tells it from the others of its source; the split depends on nothing else.
    """

    name: str
    captions: tuple[str, ...]
    place: Place

    def read(self) -> UInt8[np.ndarray, "height width 3"]:
        """Decodes it.

        Raises:
          UnreadableImage: as `read_image`.
        """
        if self.place.size is None:
            return read_image(self.place.file)
        try:
            with open(self.place.file, "rb") as file:
                file.seek(self.place.offset)
                data = file.read(self.place.size)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UnreadableImage(self.name, "unreadable file", reason) from error
        return decode_image(io.BytesIO(data), self.name)


Entry = tuple[str, str, Place]
"""Name of a picture, one caption as it was found, and where the picture is."""

Reader = Callable[[Skipped], Iterable[Entry]]
"""Lists a source; adds to the argument what is no picture with a caption."""


class PictureSource(seqio.DataSource):
    """Splits ``train`` and ``validation`` of what a reader lists, in order of the names.

    Examples are ``image uint8[height, width, 3]``, ``captions {text: string[n]}``, ``name`` and
    ``augment``, true in training. Hosts read disjoint pictures; a shuffle is one of all pictures,
    and another in each epoch.

    Attributes:
      skipped: what was left out so far. Pictures are only tried when they are read.
    """

    def __init__(self, reader: Reader, description: str) -> None:
        """`description` is what errors call the source."""
        super().__init__(
            ("train", "validation"), caching_permitted=False, performs_internal_shuffling=True
        )
        self._reader, self._description = reader, description
        self.skipped = Skipped()

    @functools.cached_property
    def _pictures(self) -> dict[str, list[Picture]]:
        pictures = collect(self._reader(self.skipped), self.skipped)
        if not pictures:
            kinds = ", ".join(f"{len(names)} {kind}" for kind, names in self.skipped.kinds.items())
            raise UserError(
                f"{self._description} has no picture with a caption"
                f"{f' ({kinds})' if kinds else ''}: see docs/own_pictures.md for the layouts."
            )
        return split_pictures(pictures)

    def pictures(self, split: str) -> list[Picture]:
        """Those of a split, readable or not.

        Raises:
          UserError: the source as a whole cannot be read, or has nothing.
        """
        return self._pictures[split]

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
        dataset = tf.data.Dataset.range(len(pictures))
        if shard_info:
            dataset = dataset.shard(shard_info.num_shards, shard_info.index)
        if shuffle:
            dataset = dataset.shuffle(len(pictures) + 1, seed=seed, reshuffle_each_iteration=True)

        def load(index: np.int64) -> tuple[np.bool_, np.ndarray, np.ndarray, bytes]:
            picture = pictures[index]
            captions = np.array([caption.encode() for caption in picture.captions], object)
            try:
                image, good = picture.read(), True
            except UnreadableImage as error:
                self.skipped.add(error.kind, picture.name)
                image, good = np.zeros((1, 1, 3), np.uint8), False
            return np.bool_(good), image, captions, _encode(picture.name)

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

        dataset = dataset.map(to_example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        dataset = dataset.filter(lambda example: example["good"])
        return dataset.map(lambda example: {k: v for k, v in example.items() if k != "good"})


def collect(entries: Iterable[Entry], skipped: Skipped) -> list[Picture]:
    """One picture a name, in order of the names, with those of its captions that say something."""
    found: dict[str, tuple[Place, list[str]]] = {}
    for name, caption, place in entries:
        text = " ".join(caption.split())
        if not text:
            skipped.add("empty caption", name)
        elif not _is_utf8(text):
            skipped.add("invalid UTF-8", name)
        else:
            found.setdefault(name, (place, []))[1].append(text)
    return [Picture(name, tuple(found[name][1]), found[name][0]) for name in sorted(found)]


def split_pictures(pictures: list[Picture]) -> dict[str, list[Picture]]:
    """`VALIDATION_SHARE` of them for validation, in small sets `SMALLEST_VALIDATION` pictures.

    Those with the smallest hashes. Of a set beyond the latter over the former (1,600), a name's
    split does not depend on the other pictures, so that the set may grow.
    """
    hashes = [_fraction(picture.name) for picture in pictures]
    border = VALIDATION_SHARE
    if len(pictures) > 1:
        smallest = max(1, min(SMALLEST_VALIDATION, len(pictures) // 5))
        border = max(border, np.nextafter(sorted(hashes)[smallest - 1], 1.0))
    splits: dict[str, list[Picture]] = {"train": [], "validation": []}
    for picture, value in zip(pictures, hashes, strict=True):
        splits["validation" if value < border else "train"].append(picture)
    return splits


def printable(name: str) -> str:
    """A name that any terminal can print: what is no UTF-8 is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in name)


def named(skipped: Skipped, limit: int = 10) -> Iterator[str]:
    """A line a kind: how many, and the first few names."""
    for kind, names in sorted(skipped.kinds.items()):
        first = [printable(name) for name in list(names)[:limit]]
        rest = f" and {len(names) - limit} more" if len(names) > limit else ""
        yield f"{len(names)} {kind}: {', '.join(first)}{rest}"


def _fraction(name: str) -> float:
    """In [0, 1), from a hash."""
    return int.from_bytes(hashlib.sha256(_encode(name)).digest()[:6], "big") / 2**48


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
