"""Texts alone of any task: of texts, of pictures with captions, of mixtures of both."""

import functools
import hashlib
import os
from typing import Any

import seqio

from babeldraw.data import raw, tasks
from babeldraw.data.sources import names, texts
from babeldraw.data.streams.per_text import TextTask
from babeldraw.errors import UserError


def find_texts(name: str, split: str) -> seqio.Task | seqio.Mixture:
    """The task or mixture whose examples are texts; of tasks of pictures it takes the captions.

    A registered task of somebody's own is taken as it is, if it gives ``text``.

    Raises:
      UserError: there is no such task or split, it gives no texts, or a mixture has several
        vocabularies.
    """
    provider = _open(name, os.environ.get(names.VOCABULARY_VARIABLE))
    if split not in provider.splits:
        raise UserError(
            f"{name} has no split {split!r}: choose one of {', '.join(provider.splits)}."
        )
    return provider


@functools.lru_cache(maxsize=16)  # finds the lines of files once
def _open(name: str, vocabulary: str | None) -> seqio.Task | seqio.Mixture:
    del vocabulary  # part of the key only
    if parts := names.split_mixture(name):
        return tasks.mix(name, [(_open(part, None), rate) for part, rate in parts], True)
    provider = tasks.find_task(name, "train")
    features = provider.output_features
    if "text" not in features:
        raise UserError(
            f"{name} gives no 'text': its features are {', '.join(features)}; register it with an "
            "output feature 'text', or give another task."
        )
    if isinstance(provider, TextTask) or {*features}.isdisjoint({"image", "image_tokens"}):
        return provider
    sources = [task.source for task in raw.subtasks(provider, "train")]
    if len(sources) != 1 or not hasattr(sources[0], "captions"):
        raise UserError(
            f"The texts of {name} cannot be read without its pictures: write them to a file, a "
            "text a line, and give text:FILE."
        )
    vocabulary = features["text"].vocabulary.sentencepiece_model_file
    return names.text_task(name, texts.CaptionTexts(sources[0]), vocabulary)


def fingerprint(name: str, split: str) -> dict[str, Any]:
    """As `data.fingerprint`: `task`, `split`, `texts` (how many) and `names` (their hash).

    Of TFDS sets `names` goes by name and version; it is None where a source tells neither.

    Raises:
      UserError: as `find_texts`.
    """
    count, digest, known = 0, hashlib.sha256(), True
    for task in raw.subtasks(find_texts(name, split), split):
        source = task.source
        count += source.num_input_examples(split) or 0
        if hasattr(source, "digest"):
            digest.update(f"{source.digest(split)}\n".encode())
        elif hasattr(source, "tfds_dataset"):
            digest.update(f"{source.tfds_dataset.builder.info.full_name}\n".encode())
        else:
            known = False
    return {
        "task": name,
        "split": split,
        "texts": count,
        "names": digest.hexdigest() if known else None,
    }
