"""Records in files: `tf.train.Example`s, of ArrayRecord files by number, in any order.

ArrayRecord keeps an index at the end of a file, so that any record is had without reading the
others; see https://github.com/google/array_record.
"""

import contextlib
import functools
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import tensorflow as tf
from array_record.python import array_record_module

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.files import renamed_when_whole

SUFFIX = ".array_record"
FRAME = 12, 4
"""Bytes before and after a record of a TFRecord file: its length with a checksum, a checksum."""

IMAGE_KEYS = ("image", "jpg", "png", "webp")


def encode(features: Mapping[str, Sequence[bytes]]) -> bytes:
    """A record with lists of bytes."""
    example = tf.train.Example()
    for name, values in features.items():
        example.features.feature[name].bytes_list.value.extend(values)
    record: bytes = example.SerializeToString(deterministic=True)  # maps have no order of their own
    return record


def decode(record: bytes) -> dict[str, list[bytes]]:
    """The features of a record that are lists of bytes; of what is none of ours, `{}`."""
    try:
        features = tf.train.Example.FromString(record).features.feature
    except Exception:  # protobuf's DecodeError, by whichever implementation is installed
        return {}
    return {name: list(feature.bytes_list.value) for name, feature in features.items()}


def image_of(features: Mapping[str, list[bytes]]) -> bytes | None:
    """The picture file among a record's features, if there is one."""
    return next((features[key][0] for key in IMAGE_KEYS if features.get(key)), None)


def write(path: pathlib.Path, records: Iterable[bytes], advice: str) -> int:
    """Writes a file, which takes its name only when it is whole; returns how many there are.

    Raises:
      UserError: it cannot be written; `advice` ends the sentence.
    """
    count = 0
    with renamed_when_whole(path, advice) as temporary:
        temporary.touch()  # says why it cannot be written, as the writer would not
        # One record a group: each is then read alone.
        writer = array_record_module.ArrayRecordWriter(str(temporary), "group_size:1")
        try:
            for record in records:
                writer.write(record)
                count += 1
        finally:
            with contextlib.suppress(Exception):  # on a full disk; the count below tells
                writer.close()
        if count_records(temporary) != count:
            raise OSError(None, "the disk may be full")
    return count


def count_records(path: str | os.PathLike[str]) -> int | None:
    """How many records a file has; None where it is damaged or there is none."""
    try:
        reader = array_record_module.ArrayRecordReader(files.local_shard(str(path)))
        count = int(reader.num_records())
        reader.close()
    except Exception:  # whatever the native code makes of a damaged file
        return None
    return count


def read_in_order(path: str | os.PathLike[str], at_once: int = 64) -> Iterator[bytes]:
    """All records.

    Raises:
      ValueError: the file is damaged.
    """
    try:
        reader = array_record_module.ArrayRecordReader(files.local_shard(str(path)))
        count = reader.num_records()
        for start in range(0, count, at_once):
            yield from reader.read(start, min(start + at_once, count))
        reader.close()
    except (RuntimeError, IndexError, OSError) as error:
        raise ValueError(str(error)) from error


def read_one(path: str, number: int) -> bytes:
    """One record; the file stays open for the next one.

    Raises:
      ValueError: the file is damaged or has no such record.
    """
    try:
        record: bytes = _open(path).read([number])[0]
    except (RuntimeError, IndexError, OSError) as error:
        raise ValueError(str(error)) from error
    return record


@functools.lru_cache(maxsize=256)
def _open(path: str) -> array_record_module.ArrayRecordReader:
    local = files.local_shard(path)  # its native reader knows no object store
    return array_record_module.ArrayRecordReader(local, "readahead_buffer_size:0,max_parallelism:0")


def frames(path: str | os.PathLike[str]) -> Iterator[tuple[int, int]]:
    """Offset and length of each record of a TFRecord file that is not compressed.

    Ends before a record that would end beyond the file: TensorFlow's reader believes any length
    whose checksum is right, and the process ends where there is no memory for it.
    """
    with files.path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = 0
        while start + FRAME[0] <= size:
            file.seek(start)
            start += FRAME[0]
            length = int.from_bytes(file.read(8), "little")
            if start + length + FRAME[1] > size:
                return
            yield start, length
            start += length + FRAME[1]


def damaged(path: pathlib.Path) -> UserError:
    """What is said of a damaged file of ours."""
    return UserError(f"{path} is damaged: remove it, and run the command that made it again.")
