"""seqio preprocessors. Randomness is stateless: seqio hands every example a seed of its own."""

import pathlib
from collections.abc import Mapping
from typing import Any

import seqio
import tensorflow as tf

from babeldraw.data.picture_files.framing import frame_tensor, tell_sides_tensor, uniform
from babeldraw.data.picture_files.view import PLAIN, View
from babeldraw.errors import UserError
from babeldraw.sizes import Size, height_and_width, in_words

Example = dict[str, Any]


def check_image_size(
    dataset: tf.data.Dataset, sequence_length: Mapping[str, Size] | None
) -> tf.data.Dataset:
    """Refuses feature lengths that do not fit the pictures, which seqio would cut silently.

    Raises:
      UserError: ``image`` in the feature lengths is not the side of the pictures.
    """
    check_side(dataset.element_spec["image"].shape[0], sequence_length)
    return dataset


def check_side(side: int, sequence_length: Mapping[str, Size] | None) -> None:
    """The same of the side alone.

    Raises:
      UserError: as `check_image_size`.
    """
    wanted = (sequence_length or {}).get("image", side)
    if height_and_width(wanted) != (side, side):
        raise UserError(
            f"TASK_FEATURE_LENGTHS asks for images of {in_words(wanted)}, but this task has "
            f'{in_words(side)}: set "image" to {side} or choose another task.'
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


def caption_image(
    dataset: tf.data.Dataset, size: Size, view: View = PLAIN, *, augment_key: str = "augment"
) -> tf.data.Dataset:
    """One caption and one picture of the size an example; an empty one where there is none.

    Classes come along. Where the boolean feature `augment_key` is true, the caption is drawn and
    `view` draws, too; elsewhere it is the first caption and the middle.
    """

    def convert(example: Example, seed: tf.Tensor) -> Example:
        seeds = tf.random.experimental.stateless_split(seed, 2)
        augment, captions = example[augment_key], example["captions"]["text"]
        image = tf.cond(
            augment,
            lambda: frame_tensor(
                example["image"], size, view, seeds[1], may_flip=~tell_sides_tensor(captions)
            ),
            lambda: frame_tensor(example["image"], size, view),
        )
        return {
            **_classes(example),
            "caption": _caption(captions, augment, seeds[0]),
            "image": tf.ensure_shape(image, [*height_and_width(size), 3]),
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
        **_classes(example),
        "caption": _caption(example["captions"]["text"], augment, seeds[0]),
        "image_tokens": _draw(example["image_tokens"], augment, seeds[1]),
    }


def _classes(example: Example) -> Example:
    """What says the classes: all that is no part of every example."""
    parts = ("image", "image_tokens", "captions", "name", "augment")
    return {key: value for key, value in example.items() if key not in parts}


def _caption(captions: tf.Tensor, augment: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of them, or an empty one where there are none."""
    some = tf.cond(tf.size(captions) > 0, lambda: captions, lambda: tf.constant([""]))
    return _draw(some, augment, seed)


def _draw(rows: tf.Tensor, augment: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """One of the rows at random where `augment` is true, elsewhere the first."""
    drawn = uniform(seed, tf.constant([0]), tf.shape(rows)[:1])[0]
    return rows[tf.where(augment, drawn, 0)]
