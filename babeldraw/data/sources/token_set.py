"""Pictures as tokens, made beforehand by `babeldraw tokenize-dataset`, and their seqio source.

A folder with ``manifest.json`` (`Manifest`) and the shards ``SPLIT-00003-of-00016.array_record``. A
record is a `tf.train.Example` of bytes: ``image_tokens`` (little-endian uint16[tokens], each crop),
``captions`` (as text, so that vocabularies can change) and ``name``.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from jaxtyping import UInt16

from babeldraw.data.sources import records
from babeldraw.data.sources.indexed import Example, IndexedSource
from babeldraw.data.sources.pictures import Skipped
from babeldraw.errors import UserError
from babeldraw.files import written_whole

MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What the shards have in common; written before the first of them.

    Attributes:
      tokenizer: `models.token_identity` of the tokenizer that made the tokens.
      task: what was tokenized.
      image_size: side of the tokenized pictures in pixels.
      grid: tokens a row of a picture, and rows a picture.
      crops: how many squares of each training picture were tokenized.
      pictures: of each split, how many its source listed.
      shards: of each split, the number of its shards.
    """

    tokenizer: str
    task: str
    image_size: int
    grid: int
    crops: int
    pictures: dict[str, int]
    shards: dict[str, int]

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
            manifest = cls(**read)
            for field in dataclasses.fields(cls):
                value = getattr(manifest, field.name)
                if not isinstance(value, {"tokenizer": str, "task": str}.get(field.name, object)):
                    raise TypeError(field.name)
            whole = [manifest.image_size, manifest.grid, manifest.crops]
            whole += [*manifest.pictures.values(), *manifest.shards.values()]
            if not all(isinstance(value, int) and value > 0 for value in whole):
                raise ValueError(whole)
        except OSError as error:
            raise UserError(
                f"{folder} has no readable {MANIFEST}; give the --output of `babeldraw "
                "tokenize-dataset`."
            ) from error
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise records.damaged(path) from error
        return manifest

    def shard(self, folder: pathlib.Path, split: str, index: int) -> pathlib.Path:
        """Path of a shard."""
        return folder / f"{split}-{index:05d}-of-{self.shards[split]:05d}{records.SUFFIX}"

    def all_shards(self) -> list[tuple[str, int]]:
        """Split and index of each shard."""
        return [(split, index) for split, count in self.shards.items() for index in range(count)]


def encode_example(
    tokens: UInt16[np.ndarray, "crops tokens"], captions: tuple[str, ...], name: str
) -> bytes:
    """A record."""
    return records.encode(
        {
            "image_tokens": [row.astype("<u2").tobytes() for row in tokens],
            "captions": [caption.encode() for caption in captions],
            "name": [name.encode()],
        }
    )


class TokenSource(IndexedSource):
    """The splits of a token set, read record by record, in the order of the task's pictures.

    Examples are ``image_tokens int32[crops, tokens]``, ``captions {text: string[n]}``, ``name`` and
    ``augment``, true in training. A task whose pictures are all readable comes in the order in
    which its pictures would.

    Attributes:
      skipped: damaged records, and those without captions, that were met so far; they are left out.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        """Reads the manifest.

        Raises:
          UserError: there is none.
        """
        self.folder, self.manifest = folder, Manifest.read(folder)
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

    def num_input_examples(self, split: str) -> int:
        return len(self._places(split)[1])

    def spec(self, split: str) -> dict[str, Any]:
        return {
            "image_tokens": tf.TensorSpec([None, self.manifest.grid**2], tf.int32),
            "captions": {"text": tf.TensorSpec([None], tf.string)},
            "name": tf.TensorSpec([], tf.string),
            "augment": tf.TensorSpec([], tf.bool),
        }

    def read(self, split: str, index: int) -> Example | None:
        """As `IndexedSource`.

        Raises:
          UserError: shards are missing or damaged.
        """
        paths, places = self._places(split)
        shard, number = places[index]
        try:
            features = records.decode(records.read_one(paths[shard], int(number)))
            tokens = [np.frombuffer(row, "<u2") for row in features["image_tokens"]]
            if not features["captions"]:
                name = features["name"][0].decode("utf-8", "surrogateescape")
                self.skipped.add("no caption", name)
                return None
            return {
                "image_tokens": np.stack(tokens).reshape(-1, self.manifest.grid**2),
                "captions": {"text": np.array(features["captions"], object)},
                "name": features["name"][0],
                "augment": split == "train",
            }
        except (ValueError, LookupError):
            name = f"{pathlib.Path(paths[shard]).name}: record {number}"
            self.skipped.add("damaged record", name)
            return None
