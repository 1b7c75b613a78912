"""seqio preprocessors. Randomness is stateless: seqio hands every example a seed of its own."""

import pathlib
from collections.abc import Mapping
from typing import Any

import seqio
import tensorflow as tf

from babeldraw.errors import UserError

Example = dict[str, Any]


def check_image_size(
    dataset: tf.data.Dataset, sequence_length: Mapping[str, int] | None
) -> tf.data.Dataset:
    """Refuses feature lengths that do not fit the pictures, which seqio would cut silently.

    Raises:
      UserError: ``image`` in the feature lengths is not the side of the pictures.
    """
    check_side(dataset.element_spec["image"].shape[0], sequence_length)
    return dataset


def check_side(side: int, sequence_length: Mapping[str, int] | None) -> None:
    """The same of the side alone.

    Raises:
      UserError: as `check_image_size`.
    """
    wanted = (sequence_length or {}).get("image", side)
    if wanted != side:
        raise UserError(
            f"TASK_FEATURE_LENGTHS asks for images of {wanted} px, but this task has {side} px: "
            f'set "image" to {side} or choose another task.'
        )


def check_vocabulary(
    dataset: tf.data.Dataset, output_features: Mapping[str, seqio.Feature], task: str = "TASK"
) -> tf.data.Dataset:
    """Refuses to start without the vocabulary; `task` stands in the command that makes it.

    Raises:
      UserError: its file is missing.
    """
    require_vocabulary(output_features["text"].vocabulary.sentencepiece_model_file, task)
    return dataset


def require_vocabulary(path: str, task: str) -> None:
    """See `check_vocabulary`; `path` is that of the file."""
    # One in a bucket has been copied from there, if it is there.
    if not pathlib.Path(path).exists():
        raise UserError(
            f"This task's vocabulary {path} is missing: make it with "
            f"`babeldraw vocab --task {task} --size 16000 --output {path}`."
        )


@seqio.map_over_dataset
def add_text(example: Example) -> Example:
    """Copies ``caption`` to ``text``, which seqio then tokenizes; the caption stays readable."""
    return {**example, "text": example["caption"]}


def square_crop_resize(image: tf.Tensor, size: int, seed: tf.Tensor | None) -> tf.Tensor:
    """Square crop, AREA resize and crop to `size`; no flip. Enlarging is bicubic.

    With a seed: the square's offset is uniform in [3/8, 5/8] of the free margin, it is resized to a
    side uniform in [size, 9/8 size] (never above its own side, unless that is below `size`), and a
    random window of `size` is cut (DALL-E, arXiv 2102.12092, appendix A). Without: plain centre
    crop and resize.

    Args:
      image: uint8[height, width, 3].
      size: side of the result in pixels.
      seed: int32[2] of this example, or None.

    Returns:
      uint8[size, size, 3].
    """
    shape = tf.shape(image)
    side = tf.minimum(shape[0], shape[1])
    margin = shape[:2] - side
    if seed is None:
        offset, resized = margin // 2, tf.constant(size)
        corner = tf.zeros([2], tf.int32)
    else:
        seeds = tf.random.experimental.stateless_split(seed, 3)
        low = 3 * margin // 8
        high = tf.maximum(low + 1, 5 * margin // 8)
        offset = _uniform(seeds[0], low, high)
        largest = tf.maximum(size, tf.minimum(side, round(9 / 8 * size)))
        resized = _uniform(seeds[1], tf.constant([size]), largest[tf.newaxis] + 1)[0]
        corner = _uniform(seeds[2], tf.zeros([2], tf.int32), tf.fill([2], resized - size + 1))
    image = tf.image.crop_to_bounding_box(image, offset[0], offset[1], side, side)
    shape = tf.stack([resized, resized])
    image = tf.cond(
        resized > side,
        lambda: tf.image.resize(image, shape, method="bicubic"),  # AREA would repeat pixels
        lambda: tf.image.resize(image, shape, method="area"),
    )
    image = tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)
    image = tf.slice(image, tf.concat([corner, [0]], 0), [size, size, 3])
    return tf.ensure_shape(image, [size, size, 3])


def _uniform(seed: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """int32 of the shape of `low`, each uniform in [low, high)."""
    span = tf.cast(high - low, tf.float32)
    draw = tf.random.stateless_uniform(tf.shape(low), seed)
    return low + tf.cast(draw * span, tf.int32)


def caption_image(
    dataset: tf.data.Dataset, size: int, *, augment_key: str = "augment"
) -> tf.data.Dataset:
    """One caption and one square picture an example.

    Where the boolean feature `augment_key` is true, the caption is drawn and the crop is random;
    elsewhere it is the first caption and the centre.
    """

    def convert(example: Example, seed: tf.Tensor) -> Example:
        seeds = tf.random.experimental.stateless_split(seed, 2)
        augment = example[augment_key]
        image = tf.cond(
            augment,
            lambda: square_crop_resize(example["image"], size, seeds[1]),
            lambda: square_crop_resize(example["image"], size, None),
        )
        return {
            "caption": _draw(example["captions"]["text"], augment, seeds[0]),
            "image": tf.ensure_shape(image, [size, size, 3]),
        }

    return seqio.map_over_dataset(convert, num_seeds=1)(dataset)


@seqio.map_over_dataset(num_seeds=1)
def caption_tokens(example: Example, seed: tf.Tensor) -> Example:
    """As `caption_image`, of pictures that are tokens: one caption, and one crop's tokens.

    For an example at the same place of the order, the caption drawn is the same.
    """
    seeds = tf.random.experimental.stateless_split(seed, 2)
    augment = example["augment"]
    return {
        "caption": _draw(example["captions"]["text"], augment, seeds[0]),
        "image_tokens": _draw(example["image_tokens"], augment, seeds[1]),
    }


def _draw(rows: tf.Tensor, augment: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of the rows at random where `augment` is true, elsewhere the first."""
    drawn = _uniform(seed, tf.constant([0]), tf.shape(rows)[:1])[0]
    return rows[tf.where(augment, drawn, 0)]
