"""Tasks made from a name alone, for pictures of one's own:

  folder:FOLDER                  captions.jsonl, metadata.csv, ... or a .txt beside each picture
  class_folder:FOLDER            a sub-folder for each class, named by it
  coco:FILE.json[,FOLDER]        COCO's captions JSON and the pictures that it names
  narratives:FILE.jsonl[,FOLDER] Localized Narratives and the pictures that they name
  webdataset:FOLDER              img2dataset's .tar shards
  parquet:FOLDER                 img2dataset's .parquet shards, with the pictures in them
  tfrecord:FOLDER                .tfrecord files, img2dataset's and those of `babeldraw data pack`
  array_record:FOLDER            .array_record files of `babeldraw data pack`
  tfds:NAME                      a TFDS set of pictures with texts, prepared by `tfds build NAME`
  tokens:FOLDER                  what `babeldraw tokenize-dataset` wrote
  text:PATH                      texts without pictures: .txt and .jsonl files, a text a line
  NAME:RATE+NAME:RATE[+...]      a mixture of these or of registered tasks

FOLDER of the pictures is by default where the captions are. Each has the splits train and
validation, by a hash of the pictures' names; `tfds:` and `tokens:` have those of what they name.
TASK_FEATURE_LENGTHS says how large the pictures get.
"""

import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from babeldraw import files
from babeldraw.data import features, preprocessing
from babeldraw.data.picture_files.view import PLAIN, View
from babeldraw.data.sources import (
    folders,
    readers,
    record_shards,
    shards,
    texts,
    tfds_source,
    token_set,
)
from babeldraw.data.sources.picture_source import PictureSource
from babeldraw.data.sources.pictures import Reader
from babeldraw.data.streams.per_example import PerExampleTask
from babeldraw.data.streams.per_text import TextTask
from babeldraw.errors import UserError
from babeldraw.files import cache_dir

VOCABULARY_VARIABLE = "BABELDRAW_VOCABULARY"
VOCABULARY_NAME = "vocabulary.model"

_FOLDERS: dict[str, Callable[..., Any]] = {
    "folder": folders.read_folder,
    "class_folder": folders.read_class_folder,
    "webdataset": shards.read_webdataset,
    "parquet": shards.read_parquet,
    "tfrecord": record_shards.read_tfrecord,
    "array_record": record_shards.read_array_record,
}
_FILES: dict[str, Callable[..., Any]] = {
    "coco": readers.read_coco,
    "narratives": readers.read_narratives,
}
TOKENS, TFDS, TEXT = "tokens", "tfds", "text"
_LOCAL = ("folder", "class_folder", *_FILES)
KINDS = (*_FOLDERS, *_FILES, TFDS, TOKENS, TEXT)
SHUFFLE_BUFFER = 2_000  # pictures that come in an order of their own: 0.4 GB at 256 px

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


def open_task(name: str, *, captioned: bool = True, view: View = PLAIN) -> Any:
    """The task of a name such as ``folder:/my/pictures``, or None if it is none of these.

    Unless `captioned`, pictures without captions are among its examples, too. Pictures come as
    `view` says.

    Raises:
      UserError: there is no such file, folder or TFDS set, or a folder of tokens is damaged.
    """
    kind, _, where = name.partition(":")
    if kind not in KINDS:
        return None
    output_features, buffer = features.with_pictures, None  # the source shuffles
    first: Any = functools.partial(_to_size, view=view)
    if kind == TFDS:
        source = tfds_source.TfdsPictures(where, captioned=captioned, background=view.colour)
        home, buffer = cache_dir() / "vocabulary" / safe_name(name), SHUFFLE_BUFFER
        if captioned and texts.has_no_pictures(source):
            return text_task(name, texts.TfdsTexts(source), _vocabulary(home))
    elif kind == TEXT:
        path = texts.find(where, name)
        home = path if path.is_dir() else path.parent
        return text_task(name, texts.TextFiles(path, name), _vocabulary(home))
    elif kind == TOKENS:
        home = _folder(where, name)
        source = token_set.TokenSource(home, captioned=captioned)
        first = preprocessing.caption_tokens
        output_features = features.with_tokens
    else:
        reader, path = _reader(name)
        if path.is_dir():
            home, dropped = path, path / folders.DROPPED_NAME
        else:  # of several captions files, perhaps, in one folder
            home, dropped = path.parent, path.with_suffix(f".{folders.DROPPED_NAME}")
        source = PictureSource(
            reader,
            name,
            dropped,
            captioned=captioned,
            background=view.colour,
            class_feature="cls" if kind == "webdataset" else "class",
        )
    vocabulary = _vocabulary(home)
    check_vocabulary, *text_steps = features.TEXT_STEPS
    return SourceTask(
        safe_name(name),
        source=source,
        preprocessors=[first, functools.partial(check_vocabulary, task=name), *text_steps],
        output_features=output_features(vocabulary),
        shuffle_buffer_size=buffer,
        typed_name=name,
        view=view,
    )


def text_task(name: str, source: texts.Texts | texts.TfdsTexts, vocabulary: str) -> TextTask:
    """Of texts without pictures; `vocabulary` is the path of its file."""
    return TextTask(
        safe_name(name),
        source=source,
        preprocessors=[
            functools.partial(preprocessing.check_vocabulary, task=name),
            *features.TEXT_ALONE_STEPS,
        ],
        output_features=features.alone(vocabulary),
        shuffle_buffer_size=SHUFFLE_BUFFER,
        typed_name=name,
    )


def _vocabulary(home: Any) -> str:
    """The path of what the environment names, or of the file in `home`."""
    vocabulary = os.environ.get(VOCABULARY_VARIABLE) or str(home / VOCABULARY_NAME)
    if files.is_remote(vocabulary) and files.path(vocabulary).exists():
        return str(files.local_copy(vocabulary))
    return vocabulary


def safe_name(name: str) -> str:
    """As seqio allows: the kind, and a digest of the rest."""
    kind = re.match(r"\w*", name)
    return f"{kind[0] if kind else ''}_{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"


def copy_vocabulary(task: Any, folder: Any) -> None:
    """Puts the vocabulary of a task, if there is one, beside what has been made of its pictures."""
    file = pathlib.Path(task.output_features["text"].vocabulary.sentencepiece_model_file)
    if file.is_file():
        (folder / VOCABULARY_NAME).write_bytes(file.read_bytes())


class SourceTask(PerExampleTask):
    """Never keeps decoded pictures: seqio would, of any set below 10,000, at any size."""

    def get_dataset(self, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        """As seqio.Task."""
        return super().get_dataset(*args, **{**kwargs, "try_in_mem_cache": False})


def _to_size(dataset: tf.data.Dataset, sequence_length: Any, view: View) -> tf.data.Dataset:
    return preprocessing.caption_image(dataset, sequence_length["image"], view)


def _reader(name: str) -> tuple[Reader, pathlib.Path]:
    """What lists the pictures, and the folder or file that it reads."""
    kind, _, where = name.partition(":")
    if kind in _LOCAL and files.is_remote(where):
        raise UserError(
            f"{kind}: reads pictures one file each, which a bucket answers slowly: pack them with "
            f"`babeldraw data pack` and give tfrecord:, or mount the bucket with gcsfuse ({name})."
        )
    if kind in _FOLDERS:
        folder = _folder(where, name)
        return functools.partial(_FOLDERS[kind], folder), folder
    file, comma, images = where.partition(",")
    if comma and _path(where).exists():  # the comma is the path's own
        file, images = where, ""
    path = _existing(file, name)
    if not path.is_file():
        raise UserError(f"{file} in {name!r} is not a file; give the one with the captions.")
    folder = _existing(images, name) if images else path.parent
    return functools.partial(_FILES[kind], path, folder), path


def _folder(where: str, name: str) -> Any:
    folder = _existing(where, name)
    if not folder.is_dir():
        raise UserError(f"{where} in {name!r} is not a folder; give one that holds pictures.")
    return folder


def _path(text: str) -> Any:
    if files.is_remote(text):
        return files.path(text)
    return pathlib.Path(text).expanduser().absolute()


def _existing(text: str, name: str) -> Any:
    if not text or not _path(text).exists():
        raise UserError(f"There is no {text!r}, which {name!r} names: check the path.")
    return _path(text)
