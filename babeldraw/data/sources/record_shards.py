"""Pictures with captions in records: TFRecord and ArrayRecord files of `tf.train.Example`s.

An example has a picture file under ``image``, ``jpg``, ``png`` or ``webp`` (bytes), one or several
captions under ``captions``, ``caption``, ``text`` or ``txt`` (bytes), a name under ``name`` or
``key``, and perhaps its class under ``class``. img2dataset's TFRecord files are of this form, and
so is what `babeldraw data pack` writes.
"""

import itertools
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

from babeldraw.data.sources import records
from babeldraw.data.sources.pictures import Entry, Picture, Place, Skipped, printable
from babeldraw.data.sources.readers import CAPTION_KEYS, with_captions
from babeldraw.data.sources.shards import find_shards, shard_name
from babeldraw.errors import UserError
from babeldraw.files import is_remote, renamed_when_whole

TFRECORD = ".tfrecord"


def read_tfrecord(folder: pathlib.Path, skipped: Skipped) -> Iterator[Entry]:
    """All .tfrecord files of a folder, not compressed; each is read once to list it.

    Raises:
      UserError: the folder has no .tfrecord file.
    """
    for path in find_shards(folder, TFRECORD, skipped):
        shard = shard_name(path, folder)
        if is_remote(path):
            yield from _streamed(path, shard, skipped)
            continue
        places = list(records.frames(path))
        end = sum(places[-1]) + records.FRAME[1] if places else 0
        if end < path.stat().st_size:
            skipped.add("damaged shard", shard)
        dataset = tf.data.TFRecordDataset(str(path)).take(len(places))
        try:
            for number, record in enumerate(dataset.as_numpy_iterator()):
                features = records.decode(record)
                image = records.image_of(features) or b""
                place = Place(str(path), places[number][0] + record.find(image), len(image))
                yield from _captions(shard, number, features, place, skipped)
        except tf.errors.OpError:  # a checksum, or the end; the records before are good
            skipped.add("damaged shard", shard)


def _streamed(path: Any, shard: str, skipped: Skipped) -> Iterator[Entry]:
    """Of one file in a bucket, from its beginning on; checksums are not looked at."""
    start = 0
    with path.open("rb") as file:
        for number in itertools.count():
            head = file.read(records.FRAME[0])
            record = file.read(int.from_bytes(head[:8], "little")) if head else b""
            if len(file.read(records.FRAME[1])) < records.FRAME[1]:
                if head:
                    skipped.add("damaged shard", shard)
                return
            start += len(head)
            features = records.decode(record)
            image = records.image_of(features) or b""
            place = Place(str(path), start + record.find(image), len(image))
            yield from _captions(shard, number, features, place, skipped)
            start += len(record) + records.FRAME[1]


def read_array_record(folder: pathlib.Path, skipped: Skipped) -> Iterator[Entry]:
    """All .array_record files of a folder; each is read once to list it.

    Raises:
      UserError: the folder has no .array_record file.
    """
    for path in find_shards(folder, records.SUFFIX, skipped):
        shard = shard_name(path, folder)
        try:
            for number, record in enumerate(records.read_in_order(path)):
                place = Place(str(path), number, in_record=True)
                features = records.decode(record)
                yield from _captions(shard, number, features, place, skipped)
        except ValueError:
            skipped.add("damaged shard", shard)


def _captions(
    shard: str, number: int, features: dict[str, list[bytes]], place: Place, skipped: Skipped
) -> Iterator[Entry]:
    default_name = f"{shard}/{number}"
    name = default_name
    if features.get("name"):  # of one pack a name each; two packs lie in two folders
        pack = shard.rpartition("/")[0]
        name = features["name"][0].decode("utf-8", "surrogateescape")
        name = f"{pack}/{name}" if pack else name
    elif features.get("key"):  # img2dataset's, which begin anew in each of its outputs
        name = f"{shard}/{features['key'][0].decode('utf-8', 'surrogateescape')}"
    if not features:
        skipped.add("damaged record", default_name)
    elif records.image_of(features) is None:
        skipped.add("missing picture", name)
    else:
        found = next((features[key] for key in CAPTION_KEYS if features.get(key)), [])
        texts = [text.decode("utf-8", "surrogateescape") for text in found]
        label = b"".join(features.get("class", [])[:1]).decode("utf-8", "surrogateescape")
        for entry in with_captions(name, place, {"captions": texts}, skipped):
            yield *entry[:3], label


def write_pictures(
    pictures: Iterable[Picture], folder: pathlib.Path, suffix: str, shard_size: int
) -> int:
    """Writes pictures as they are, with all their captions, and returns how many.

    Files that are no pictures are written, too: reading them again counts them.

    Args:
      suffix: `TFRECORD` or `records.SUFFIX`.

    Raises:
      UserError: a file cannot be read, or nothing can be written.
    """
    pictures = list(pictures)
    shards = -(-len(pictures) // shard_size)
    for shard in range(shards):
        path = folder / f"{shard:05d}-of-{shards:05d}{suffix}"
        encoded = map(_encode, pictures[shard::shards])
        if suffix == TFRECORD:
            with renamed_when_whole(path, "choose another --output") as temporary:
                _write_tfrecord(temporary, encoded)
        else:
            records.write(path, encoded, "choose another --output")
    return len(pictures)


def _encode(picture: Picture) -> bytes:
    captions = [caption.encode() for caption in picture.captions]
    name = picture.name.encode("utf-8", "surrogateescape")
    try:
        image = picture.place.read()
    except (OSError, ValueError) as error:  # here: outside, it would be taken for one of writing
        raise UserError(
            f"{printable(picture.name)} cannot be read ({getattr(error, 'strerror', error)}); mend "
            "or remove it."
        ) from error
    label = {"class": [picture.label.encode("utf-8", "surrogateescape")]} if picture.label else {}
    return records.encode({"image": [image], "captions": captions, "name": [name], **label})


def _write_tfrecord(path: pathlib.Path, encoded: Iterable[bytes]) -> None:
    try:
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in encoded:
                writer.write(record)
    except tf.errors.OpError as error:
        raise UserError(
            f"{path.parent} cannot be written ({error.message}); choose another --output."
        ) from error
