"""Examples of any task's source as the files have them: pictures uncropped, captions as text."""

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
from jaxtyping import UInt8

from babeldraw.data.picture_files.framing import frame_tensor
from babeldraw.data.picture_files.view import PLAIN, Needed, View, tells_sides
from babeldraw.data.sources.indexed import Indexed, NotIndexed
from babeldraw.data.streams import loading
from babeldraw.errors import UserError
from babeldraw.sizes import Size


@dataclasses.dataclass(frozen=True)
class RawExample:
    """A picture with its captions; `name` is empty where the source gives none.

    `classes` are the names of its classes by feature.
    """

    image: UInt8[np.ndarray, "height width 3"]
    captions: tuple[str, ...]
    name: str
    classes: Mapping[str, str] = dataclasses.field(default_factory=dict)


def raw_examples(
    source: seqio.DataSource,
    split: str,
    shard: int = 0,
    num_shards: int = 1,
    needed: Needed | None = None,
) -> Iterator[RawExample]:
    """Every `num_shards`-th example of a split, in order; together the shards are the split.

    Args:
      needed: for whom a picture may come smaller; None: as the files have them.

    Raises:
      UserError: the source cannot be read, or has tokens in the place of pictures.
    """
    features = source.class_features if isinstance(source, Indexed) else ()
    for example in _shard_of(source, split, shard, num_shards, needed):
        if "image" not in example:
            raise UserError(
                "This task has tokens, no pictures: name the task that they were made of."
            )
        captions = example["captions"]["text"] if "captions" in example else [example["caption"]]
        yield RawExample(
            example["image"],
            tuple(caption.decode("utf-8", "backslashreplace") for caption in captions),
            example.get("name", b"").decode("utf-8", "backslashreplace"),
            {key: source.class_of(example, key) for key in features},
        )


def framed(
    example: RawExample, size: Size, crop: int | None, view: View = PLAIN
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The picture as it is seen: as in evaluation, or random crop `crop`, the same each time.

    The crop goes by the picture's name; where it has none, by its captions.
    """
    seed = None
    if crop is not None:
        name = example.name or "\0".join(example.captions)
        digest = hashlib.sha256(f"{name}\0{crop}".encode()).digest()
        seed = tf.constant(np.frombuffer(digest[:8], np.int32))
    may_flip = not tells_sides(caption.encode() for caption in example.captions)
    image = tf.constant(example.image)
    seen: np.ndarray = frame_tensor(image, size, view, seed, may_flip=may_flip).numpy()
    return seen


def _shard_of(
    source: seqio.DataSource, split: str, shard: int, num_shards: int, needed: Needed | None
) -> Iterator[dict[str, Any]]:
    if isinstance(source, Indexed):
        with contextlib.suppress(NotIndexed):
            source.spec(split)
            numbers = range(shard, source.num_input_examples(split) or 0, num_shards)
            read = functools.partial(source.read, split, needed=needed)
            found = loading.in_order(read, numbers, loading.THREADS)
            return (example for example in found if example is not None)
    if source.supports_arbitrary_sharding:
        info = seqio.ShardInfo(shard, num_shards)
        dataset = source.get_dataset(split, shuffle=False, shard_info=info)
    else:
        dataset = source.get_dataset(split, shuffle=False).shard(num_shards, shard)
    examples: Iterator[dict[str, Any]] = dataset.as_numpy_iterator()
    return examples


def subtasks(provider: Any, split: str) -> list[Any]:
    """The tasks of a task or mixture that have the split."""
    return [task for task in getattr(provider, "tasks", [provider]) if split in task.splits]
