"""Tasks made from a name alone, for pictures of one's own:

  folder:FOLDER                  captions.jsonl, captions.csv, or a .txt beside each picture
  coco:FILE.json[,FOLDER]        COCO's captions JSON and the pictures that it names
  narratives:FILE.jsonl[,FOLDER] Localized Narratives and the pictures that they name
  webdataset:FOLDER              img2dataset's .tar shards
  parquet:FOLDER                 img2dataset's .parquet shards, with the pictures in them
  NAME:RATE+NAME:RATE[+...]      a mixture of these or of registered tasks

FOLDER of the pictures is by default where the captions are. Each has the splits train and
validation, by a hash of the pictures' names. TASK_FEATURE_LENGTHS says how large the pictures get.
"""

import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import seqio
import tensorflow as tf

from babeldraw.data import preprocessing, readers, shards
from babeldraw.data.pictures import PictureSource, Reader
from babeldraw.errors import UserError

VOCABULARY_VARIABLE = "BABELDRAW_VOCABULARY"
VOCABULARY_NAME = "vocabulary.model"

_FOLDERS: dict[str, Callable[..., Any]] = {
    "folder": readers.read_folder,
    "webdataset": shards.read_webdataset,
    "parquet": shards.read_parquet,
}
_FILES: dict[str, Callable[..., Any]] = {
    "coco": readers.read_coco,
    "narratives": readers.read_narratives,
}
KINDS = (*_FOLDERS, *_FILES)

_PART = re.compile(r"\s*(.+?):(\d*\.?\d+)\s*(?:\+|$)")


def split_mixture(name: str) -> list[tuple[str, float]]:
    """Names and rates of ``a:0.7+b:0.3``; empty if the name is none of a mixture.

    Raises:
      UserError: a rate is 0, or a task comes twice.
    """
    matches = list(_PART.finditer(name))
    if len(matches) < 2 or sum(len(match[0]) for match in matches) < len(name):
        return []
    parts = [(match[1], float(match[2])) for match in matches]
    if len({part for part, _ in parts}) < len(parts) or not all(rate > 0 for _, rate in parts):
        raise UserError(f"The mixture {name!r} must name each task once, at a rate above 0.")
    return parts


def open_task(name: str, text_steps: tuple[Any, ...], features: Callable[[str], Any]) -> Any:
    """The task of a name such as ``folder:/my/pictures``, or None if it is none of these.

    Args:
      text_steps: the preprocessors from ``caption`` on; the first is `check_vocabulary`.
      features: the output features, from the path of a vocabulary.

    Raises:
      UserError: there is no such file or folder.
    """
    if name.partition(":")[0] not in KINDS:
        return None
    reader, home = _reader(name)
    vocabulary = os.environ.get(VOCABULARY_VARIABLE) or str(home / VOCABULARY_NAME)
    check_vocabulary = functools.partial(text_steps[0], task=name)
    return PictureTask(
        safe_name(name),
        source=PictureSource(reader, name),
        preprocessors=[_to_size, check_vocabulary, *text_steps[1:]],
        output_features=features(vocabulary),
        shuffle_buffer_size=None,  # the source does it
    )


def safe_name(name: str) -> str:
    """As seqio allows: the kind, and a digest of the rest."""
    kind = re.match(r"\w*", name)
    return f"{kind[0] if kind else ''}_{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"


class PictureTask(seqio.Task):
    """Never keeps decoded pictures: seqio would, of any set below 10,000, at any size."""

    def get_dataset(self, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        """As seqio.Task."""
        return super().get_dataset(*args, **{**kwargs, "try_in_mem_cache": False})


def _to_size(dataset: tf.data.Dataset, sequence_length: Any) -> tf.data.Dataset:
    return preprocessing.caption_image(dataset, size=sequence_length["image"])


def _reader(name: str) -> tuple[Reader, pathlib.Path]:
    """What lists the pictures, and the folder where the vocabulary is looked for."""
    kind, _, where = name.partition(":")
    if kind in _FOLDERS:
        folder = _existing(where, name)
        if not folder.is_dir():
            raise UserError(f"{where} in {name!r} is not a folder; give one that holds pictures.")
        return functools.partial(_FOLDERS[kind], folder), folder
    file, comma, images = where.partition(",")
    if comma and _path(where).exists():  # the comma is the path's own
        file, images = where, ""
    path = _existing(file, name)
    if not path.is_file():
        raise UserError(f"{file} in {name!r} is not a file; give the one with the captions.")
    folder = _existing(images, name) if images else path.parent
    return functools.partial(_FILES[kind], path, folder), path.parent


def _path(text: str) -> pathlib.Path:
    return pathlib.Path(text).expanduser().absolute()


def _existing(text: str, name: str) -> pathlib.Path:
    if not text or not _path(text).exists():
        raise UserError(f"There is no {text!r}, which {name!r} names: check the path.")
    return _path(text)
