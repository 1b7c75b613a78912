"""The records of a TFDS set by number: TFDS itself reads TFRecord files from their beginning only.

Where each record begins is read once, from the frames around the records; see `records.frames`.
"""

import functools
from typing import Any

import tensorflow_datasets as tfds

from babeldraw.data.sources import records
from babeldraw.data.sources.indexed import NotIndexed
from babeldraw.data.sources.pictures import Place


class TfdsRecords:
    """The records of one split of a prepared TFDS set, with pictures as the files that they are."""

    def __init__(self, builder: Any, split: str) -> None:
        """`split` is as in TFDS, such as ``train[:98%]``.

        Raises:
          NotIndexed: files of a format other than TFRecord and ArrayRecord.
        """
        info = builder.info
        if info.file_format not in (
            tfds.core.FileFormat.TFRECORD,
            tfds.core.FileFormat.ARRAY_RECORD,
        ):
            raise NotIndexed(str(info.file_format))
        in_record = info.file_format == tfds.core.FileFormat.ARRAY_RECORD
        self._features = info.features
        self._places: list[Place] = []
        for part in info.splits[split].file_instructions:
            first, path = part.skip, str(part.filename)
            # All of a shard is -1 in some versions of TFDS.
            end = part.examples_in_shard if part.take < 0 else first + part.take
            if in_record:
                self._places += [Place(path, n, in_record=True) for n in range(first, end)]
            else:
                self._places += _frames(path)[first:end]
        images = [
            key for key, value in info.features.items() if isinstance(value, tfds.features.Image)
        ]
        self._decoders = {key: tfds.decode.SkipDecoding() for key in images}

    def read(self, index: int) -> dict[str, Any]:
        """The features of a record."""
        place = self._places[index]
        if place.in_record:
            record = records.read_one(place.file, place.offset)
        else:
            record = place.read()
        features: dict[str, Any] = self._features.deserialize_example_np(
            record, decoders=self._decoders
        )
        return features


@functools.lru_cache(maxsize=4096)  # two splits may share a shard
def _frames(path: str) -> list[Place]:
    return [Place(path, *frame) for frame in records.frames(path)]
