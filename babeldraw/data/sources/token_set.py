"""Pictures as tokens, made beforehand by `babeldraw tokenize-dataset`, and their seqio source.

A folder with ``manifest.json`` (`Manifest`) and the shards ``SPLIT-00003-of-00016.array_record``. A
record is a `tf.train.Example` of bytes: ``image_tokens`` (little-endian uint16[tokens], each crop),
``captions`` (as text, so that vocabularies can change), ``name`` and, of each feature that has
classes, ``class/FEATURE`` with the name of one.
"""

import dataclasses
import functools
import json
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from jaxtyping import UInt16

from babeldraw.data.picture_files.view import PLAIN, Needed, View
from babeldraw.data.sources import records
from babeldraw.data.sources.indexed import Example, IndexedSource
from babeldraw.data.sources.pictures import Skipped
from babeldraw.errors import UserError
from babeldraw.files import written_whole
from babeldraw.ranges import fit
from babeldraw.sizes import Size, height_and_width, in_words

MANIFEST = "manifest.json"
_CLASS = "class/"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What the shards have in common; written before the first of them.

    Attributes:
      tokenizer: `models.token_identity` of the tokenizer that made the tokens.
      task: what was tokenized.
      image_size: of the tokenized pictures.
      grid: rows of tokens, and as many columns; of rectangles rows and columns.
      crops: how many squares of each training picture were tokenized.
      pictures: of each split, how many its source listed.
      shards: of each split, the number of its shards.
      fit, background: how the pictures came; see `picture_files.view.View`.
      classes: of each feature that has some, their names in the order of the ids.
    """

    tokenizer: str
    task: str
    image_size: Size
    grid: Size
    crops: int
    pictures: dict[str, int]
    shards: dict[str, int]
    fit: str = PLAIN.fit
    background: str = PLAIN.background
    # No part of how runs of before know these tokens (`data.fingerprint`).
    classes: dict[str, list[str]] = dataclasses.field(default_factory=dict, repr=False)

    def write(self, folder: pathlib.Path) -> None:
        """Writes it.

        Raises:
          UserError: it cannot be written.
        """
        with written_whole(folder / MANIFEST) as file:
            file.write(json.dumps(dataclasses.asdict(self), indent=2).encode() + b"\n")

    @classmethod
    def read(cls, folder: pathlib.Path) -> "Manifest":
        """The manifest of a folder.

        Raises:
          UserError: there is none, or it is damaged.
        """
        path = folder / MANIFEST
        try:
            read = json.loads(path.read_text("utf-8"))
            if isinstance(read, dict):  # JSON has lists for pairs
                sizes = {name: fit(read.get(name), Size) for name in ("image_size", "grid")}
                read = read | sizes
            manifest = cls(**read)
            for field in dataclasses.fields(cls):
                value = getattr(manifest, field.name)
                if not isinstance(value, str if field.type is str else object):
                    raise TypeError(field.name)
            whole = [manifest.crops, *manifest.pictures.values(), *manifest.shards.values()]
            if not all(isinstance(value, int) and value > 0 for value in whole):
                raise ValueError(whole)
            if not all(isinstance(n, str) for names in manifest.classes.values() for n in names):
                raise TypeError("classes")
        except OSError as error:
            raise UserError(
                f"{folder} has no readable {MANIFEST}; give the --output of `babeldraw "
                "tokenize-dataset`."
            ) from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise records.damaged(path) from error
        return manifest

    @property
    def num_tokens(self) -> int:
        """Tokens a picture."""
        return math.prod(height_and_width(self.grid))

    @property
    def made_as(self) -> tuple[Any, ...]:
        """What token sets must share that are mixed."""
        return self.tokenizer, self.image_size, self.grid, self.fit, self.background

    def check_asked(self, name: str, size: Size, view: View) -> None:
        """Refuses settings of pictures that these tokens of the task `name` do not have.

        Raises:
          UserError: another size or fit, or what is drawn of pictures alone.
        """
        if height_and_width(size) != height_and_width(self.image_size):
            raise UserError(
                f"TASK_FEATURE_LENGTHS asks for images of {in_words(size)}, but the tokens of "
                f"{name} are of pictures of {in_words(self.image_size)}: set 'image' to "
                f"{self.image_size}."
            )
        if (view.fit, view.background) != (self.fit, self.background):
            raise UserError(
                f"FIT is {view.fit} and BACKGROUND {view.background}, but the tokens of {name} are "
                f"of pictures with FIT={self.fit} and BACKGROUND={self.background}: set these, or "
                "tokenize anew."
            )
        if (view.zoom, view.flip) != (PLAIN.zoom, PLAIN.flip):
            raise UserError(
                f"ZOOM and FLIP change pictures, and {name} has their tokens: leave them out, or "
                "train on the pictures."
            )

    def shard(self, folder: pathlib.Path, split: str, index: int) -> pathlib.Path:
        """Path of a shard."""
        return folder / f"{split}-{index:05d}-of-{self.shards[split]:05d}{records.SUFFIX}"

    def all_shards(self) -> list[tuple[str, int]]:
        """Split and index of each shard."""
        return [(split, index) for split, count in self.shards.items() for index in range(count)]


def encode_example(
    tokens: UInt16[np.ndarray, "crops tokens"],
    captions: tuple[str, ...],
    name: str,
    classes: Mapping[str, str] | None = None,
) -> bytes:
    """A record; `classes` are names by feature."""
    return records.encode(
        {
            "image_tokens": [row.astype("<u2").tobytes() for row in tokens],
            "captions": [caption.encode() for caption in captions],
            "name": [name.encode()],
            **{_CLASS + feature: [label.encode()] for feature, label in (classes or {}).items()},
        }
    )


class TokenSource(IndexedSource):
    """The splits of a token set, read record by record, in the order of the task's pictures.

    Examples are ``image_tokens int32[crops, tokens]``, ``captions {text: string[n]}``, ``name`` and
    ``augment``, true in training, and each feature that names a class. A task whose pictures are
    all readable comes in the order in which its pictures would.

    Attributes:
      skipped: damaged records, and those without captions, that were met so far; they are left out.
    """

    def __init__(self, folder: pathlib.Path, *, captioned: bool = True) -> None:
        """Reads the manifest. Unless `captioned`, pictures without captions are taken, too.

        Raises:
          UserError: there is none.
        """
        self.folder, self.manifest = folder, Manifest.read(folder)
        self._captioned = captioned
        self.skipped = Skipped()
        super().__init__(tuple(self.manifest.shards))

    @functools.lru_cache(maxsize=8)  # noqa: B019 (there are few sources, and they stay)
    def _places(self, split: str) -> tuple[list[str], np.ndarray]:
        """Paths of the shards; and of each example: its shard, its number there."""
        count = self.manifest.shards[split]
        paths = [self.manifest.shard(self.folder, split, index) for index in range(count)]
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise UserError(
                f"{self.folder} lacks {len(missing)} of the {count} shards of the split {split}: "
                "give the command `babeldraw tokenize-dataset` that made it again, which goes on."
            )
        lengths = []
        for path in paths:
            length = records.count_records(path)
            if length is None:
                raise records.damaged(path)
            lengths.append(length)
        shard = np.repeat(np.arange(count), lengths)
        number = np.concatenate([np.arange(length) for length in lengths])
        # Shard i was given pictures i, i + count, ...
        return [str(path) for path in paths], np.stack([shard, number], 1)[
            np.lexsort((shard, number))
        ]

    def captions(self, split: str) -> Iterator[str]:
        """All captions of a split, one by one."""
        for path in self._places(split)[0]:
            for record in records.read_in_order(path):
                yield from (text.decode() for text in records.decode(record)["captions"])

    @property
    def class_features(self) -> tuple[str, ...]:
        return tuple(self.manifest.classes)

    def class_names(self, feature: str) -> tuple[str, ...]:
        return tuple(self.manifest.classes[feature])

    def num_input_examples(self, split: str) -> int:
        return len(self._places(split)[1])

    def spec(self, split: str) -> dict[str, Any]:
        return {
            **dict.fromkeys(self.class_features, tf.TensorSpec([], tf.string)),
            "image_tokens": tf.TensorSpec([None, self.manifest.num_tokens], tf.int32),
            "captions": {"text": tf.TensorSpec([None], tf.string)},
            "name": tf.TensorSpec([], tf.string),
            "augment": tf.TensorSpec([], tf.bool),
        }

    def read(self, split: str, index: int, needed: Needed | None = None) -> Example | None:
        """As `IndexedSource`.

        Raises:
          UserError: shards are missing or damaged.
        """
        paths, places = self._places(split)
        shard, number = places[index]
        try:
            features = records.decode(records.read_one(paths[shard], int(number)))
            tokens = [np.frombuffer(row, "<u2") for row in features["image_tokens"]]
            if self._captioned and not features["captions"]:
                name = features["name"][0].decode("utf-8", "surrogateescape")
                self.skipped.add("no caption", name)
                return None
            return {
                **{feature: features[_CLASS + feature][0] for feature in self.class_features},
                "image_tokens": np.stack(tokens).reshape(-1, self.manifest.num_tokens),
                "captions": {"text": np.array(features["captions"], object)},
                "name": features["name"][0],
                "augment": split == "train",
            }
        except (ValueError, LookupError):
            name = f"{pathlib.Path(paths[shard]).name}: record {number}"
            self.skipped.add("damaged record", name)
            return None
