"""What a task's preprocessors do, done to one example: no stream leads to the k-th but past k - 1.

The same steps as `preprocessing` and `features.TEXT_STEPS` give seqio, in numpy, which costs less
here: TensorFlow spreads each small operation over threads of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
from jaxtyping import UInt8

from babeldraw.data import preprocessing
from babeldraw.data.sources.indexed import Example, Indexed, NotIndexed


class PerExampleTask(seqio.Task):
    """A seqio task of pictures, or tokens, with captions, whose rows are made one by one, too.

    Its preprocessors are, where the source gives several captions, `preprocessing.caption_image` or
    `caption_tokens`; then checks; then `features.TEXT_STEPS`.
    """

    def __init__(
        self, *args: Any, typed_name: str = "TASK", side: int | None = None, **settings: Any
    ) -> None:
        """As `seqio.Task`; `typed_name` as users type it, `side` of pictures cut to one size."""
        super().__init__(*args, **settings)
        self._typed_name, self._side = typed_name, side

    def check(self, split: str, lengths: Mapping[str, int]) -> None:
        """Says what the preprocessors would say of the source and of the lengths.

        Raises:
          UserError: no vocabulary, or pictures of another size.
        """
        spec = self.source.spec(split)
        if "text" in lengths:
            preprocessing.check_vocabulary(spec, self.output_features, self._typed_name)
        side = self._side
        if "image" in spec and "captions" not in spec:
            side = spec["image"].shape[0]
        if side is not None:
            preprocessing.check_side(side, lengths)

    def row(
        self,
        example: Example,
        lengths: Mapping[str, int],
        random: np.random.Generator,
        described: Sequence[str] = (),
    ) -> dict[str, Any]:
        """``text_tokens int32[text]``, ``image uint8[side, side, 3]`` or ``image_tokens int32[n]``.

        Without ``text`` in the lengths, there is no text, and the example needs no captions.
        Those of the features `described` that there are come along. Where ``augment`` is true,
        caption and crop are drawn: the caption first, so that pictures and their tokens, at the
        same place of the order, have the same one.
        """
        drawn = random if example.get("augment", False) else None
        row = {key: example[key] for key in described if key in example}
        if "text" in lengths:
            caption = example.get("caption")
            if caption is None:
                caption = _draw(example["captions"]["text"], drawn)
            if "caption" in described:
                row["caption"] = caption
            row["text_tokens"] = self._tokens(caption, lengths["text"])
        if "image_tokens" in example:
            row["image_tokens"] = _draw(example["image_tokens"], drawn).astype(np.int32)
        elif "captions" in example:
            row["image"] = square_crop_resize(example["image"], lengths["image"], drawn)
        else:
            row["image"] = example["image"]
        return row

    def _tokens(self, caption: bytes, length: int) -> np.ndarray:
        """Cut, ended, and padded with 0."""
        vocabulary = self.output_features["text"].vocabulary
        ids = vocabulary.encode(caption.decode("utf-8", "replace"))[: length - 1]
        tokens = np.zeros(length, np.int32)
        tokens[: len(ids) + 1] = [*ids, vocabulary.eos_id]
        return tokens


def indexed_task(task: Any, split: str, lengths: Mapping[str, int]) -> PerExampleTask:
    """The task, if it makes rows one by one.

    Raises:
      NotIndexed: it does not.
      UserError: as `PerExampleTask.check`.
    """
    if not isinstance(task, PerExampleTask) or not isinstance(task.source, Indexed):
        raise NotIndexed(task.name)
    task.check(split, lengths)
    return task


def _draw(rows: Any, random: np.random.Generator | None) -> Any:
    """One of them, or the first."""
    return rows[0 if random is None else random.integers(len(rows))]


def square_crop_resize(
    image: UInt8[np.ndarray, "height width 3"], size: int, random: np.random.Generator | None
) -> UInt8[np.ndarray, "size size 3"]:
    """As `preprocessing.square_crop_resize`, which says what is drawn; None draws nothing."""
    side = min(image.shape[:2])
    margin = np.array(image.shape[:2]) - side
    if random is None:
        (top, left), resized, corner = margin // 2, size, np.zeros(2, int)
    else:
        low = 3 * margin // 8
        top, left = random.integers(low, np.maximum(low + 1, 5 * margin // 8))
        largest = max(size, min(side, round(9 / 8 * size)))
        resized = int(random.integers(size, largest + 1))
        corner = random.integers(0, resized - size + 1, 2)
    square = image[np.newaxis, top : top + side, left : left + side]
    if resized > side:  # AREA would repeat pixels
        values = tf.image.resize(square, (resized, resized), method="bicubic").numpy()[0]
    elif resized < side:
        values = tf.raw_ops.ResizeArea(images=square, size=(resized, resized)).numpy()[0]
    else:
        values = square[0]
    values = values[corner[0] : corner[0] + size, corner[1] : corner[1] + size]
    rounded: np.ndarray = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return rounded
