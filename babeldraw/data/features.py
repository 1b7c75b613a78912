"""What every task gives, and the steps from a caption to its tokens."""

import functools

import seqio
import tensorflow as tf

from babeldraw.data import preprocessing

TEXT_STEPS = (
    preprocessing.check_vocabulary,
    preprocessing.add_text,
    functools.partial(seqio.preprocessors.tokenize, copy_pretokenized=False),
    seqio.preprocessors.append_eos_after_trim,
)
"""Preprocessors that turn ``caption`` into ``text``."""

TEXT_ALONE_STEPS = TEXT_STEPS[2:]
"""Of examples whose ``text`` is a text already."""


def with_pictures(vocabulary_path: str) -> dict[str, seqio.Feature]:
    """Output features ``text`` and ``image``."""
    image = seqio.Feature(seqio.PassThroughVocabulary(256), add_eos=False, dtype=tf.uint8, rank=3)
    return {"text": _text(vocabulary_path), "image": image}


def with_tokens(vocabulary_path: str) -> dict[str, seqio.Feature]:
    """Output features ``text`` and ``image_tokens``."""
    tokens = seqio.Feature(seqio.PassThroughVocabulary(2**16), add_eos=False, dtype=tf.int32)
    return {"text": _text(vocabulary_path), "image_tokens": tokens}


def alone(vocabulary_path: str) -> dict[str, seqio.Feature]:
    """Output feature ``text`` alone."""
    return {"text": _text(vocabulary_path)}


def _text(vocabulary_path: str) -> seqio.Feature:
    vocabulary = seqio.SentencePieceVocabulary(vocabulary_path)
    return seqio.Feature(vocabulary, add_eos=True, dtype=tf.int32)
