"""From task features to the batches that the models take."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import seqio
import tensorflow as tf


class TextToImageFeatureConverter(seqio.FeatureConverter):
    """``text`` becomes ``text_tokens int32[text_length]``, padded with 0; ``image`` stays uint8.

    Task feature lengths: ``text`` is the number of tokens, ``image`` the side in pixels.

    Args:
      described: scalar features that pass through as they are, e.g. ``caption``.
    """

    TASK_FEATURES: ClassVar = {
        "text": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32),
        "image": seqio.FeatureConverter.FeatureSpec(dtype=tf.uint8, rank=3),
    }
    MODEL_FEATURES: ClassVar = {
        "text_tokens": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32),
        "image": seqio.FeatureConverter.FeatureSpec(dtype=tf.uint8, rank=3),
    }
    PACKING_FEATURE_DTYPES = None

    def __init__(self, described: Sequence[str] = ()) -> None:
        self._described = {
            key: seqio.FeatureConverter.FeatureSpec(dtype=_dtype(key), rank=0) for key in described
        }
        # The length checks would cost two more maps over the examples; shapes are set below.
        super().__init__(pack=False, apply_length_check=False, passthrough_features=self._described)

    def get_model_feature_lengths(
        self, task_feature_lengths: Mapping[str, int]
    ) -> Mapping[str, int]:
        return {
            "text_tokens": task_feature_lengths["text"],
            "image": task_feature_lengths["image"],
            **{key: task_feature_lengths[key] for key in self._described},
        }

    def _convert_features(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        length, side = task_feature_lengths["text"], task_feature_lengths["image"]

        def convert(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            tokens = example["text"]
            tokens = tf.pad(tokens, [[0, length - tf.shape(tokens)[0]]])
            return {
                "text_tokens": tf.ensure_shape(tokens, [length]),
                "image": tf.ensure_shape(example["image"], [side, side, 3]),
                **{key: example[key] for key in self._described},
            }

        return ds.map(convert)


def _dtype(key: str) -> tf.DType:
    return tf.int32 if key in ("gender", "tone") else tf.string
