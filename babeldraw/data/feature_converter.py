"""From task features to the batches that the models take."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import seqio
import tensorflow as tf

from babeldraw.sizes import Size, height_and_width

_Spec = seqio.FeatureConverter.FeatureSpec


class TextToImageFeatureConverter(seqio.FeatureConverter):
    """``text`` becomes ``text_tokens int32[text_length]``, padded with 0; ``image`` stays uint8.

    Task feature lengths: ``text`` is the number of tokens, ``image`` the `Size` in pixels.

    Args:
      described: scalar features that pass through as they are, e.g. ``caption``.
    """

    TASK_FEATURES: ClassVar = {
        "text": _Spec(dtype=tf.int32),
        "image": _Spec(dtype=tf.uint8, rank=3),
    }
    MODEL_FEATURES: ClassVar = {
        "text_tokens": _Spec(dtype=tf.int32),
        "image": _Spec(dtype=tf.uint8, rank=3),
    }
    PACKING_FEATURE_DTYPES = None

    def __init__(self, described: Sequence[str] = ()) -> None:
        self._described = {key: _Spec(dtype=_dtype(key), rank=0) for key in described}
        # The length checks would cost two more maps over the examples; shapes are set below.
        super().__init__(pack=False, apply_length_check=False, passthrough_features=self._described)

    def get_model_feature_lengths(
        self, task_feature_lengths: Mapping[str, Size]
    ) -> Mapping[str, Size]:
        lengths = dict(task_feature_lengths)
        return {"text_tokens": lengths.pop("text"), **lengths}

    def _convert_features(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, Size]
    ) -> tf.data.Dataset:
        lengths = dict(task_feature_lengths)
        text = lengths.pop("text")

        def convert(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            tokens = example["text"]
            tokens = tf.pad(tokens, [[0, text - tf.shape(tokens)[0]]])
            return {
                "text_tokens": tf.ensure_shape(tokens, [text]),
                **self._picture(example, lengths),
                **{key: example[key] for key in self._described},
            }

        return ds.map(convert)

    def _picture(
        self, example: dict[str, tf.Tensor], lengths: Mapping[str, Size]
    ) -> dict[str, tf.Tensor]:
        height, width = height_and_width(lengths["image"])
        return {"image": tf.ensure_shape(example["image"], [height, width, 3])}


class TextToTokensFeatureConverter(TextToImageFeatureConverter):
    """The same for pictures that are tokens: ``image_tokens int32[tokens]`` stays as it is.

    Task feature lengths: ``text`` and ``image_tokens`` are numbers of tokens.
    """

    TASK_FEATURES: ClassVar = {
        "text": _Spec(dtype=tf.int32),
        "image_tokens": _Spec(dtype=tf.int32),
    }
    MODEL_FEATURES: ClassVar = {
        "text_tokens": _Spec(dtype=tf.int32),
        "image_tokens": _Spec(dtype=tf.int32),
    }

    def _picture(
        self, example: dict[str, tf.Tensor], lengths: Mapping[str, Size]
    ) -> dict[str, tf.Tensor]:
        return {"image_tokens": tf.ensure_shape(example["image_tokens"], [lengths["image_tokens"]])}


def _dtype(key: str) -> tf.DType:
    return tf.int32 if key in ("gender", "tone") else tf.string
