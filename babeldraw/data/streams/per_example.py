"""What a task's preprocessors do, done to one example: no stream leads to the k-th but past k - 1.

The same steps as `preprocessing` and `features.TEXT_STEPS` give seqio, but that large JPEGs come
decoded smaller (`view.Needed`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seqio

from babeldraw.data import preprocessing
from babeldraw.data.picture_files.framing import frame
from babeldraw.data.picture_files.view import PLAIN, Needed, View, tells_sides
from babeldraw.data.sources.indexed import Example, Indexed, NotIndexed
from babeldraw.sizes import Size


class PerExampleTask(seqio.Task):
    """A seqio task of pictures, or tokens, with captions, whose rows are made one by one, too.

    Its preprocessors are, where the source gives several captions, `preprocessing.caption_image` or
    `caption_tokens`; then checks; then `features.TEXT_STEPS`.
    """

    def __init__(
        self,
        *args: Any,
        typed_name: str = "TASK",
        side: int | None = None,
        view: View = PLAIN,
        **settings: Any,
    ) -> None:
        """As `seqio.Task`; `typed_name` as users type it, `side` of pictures cut to one size.

        `view` is that of the preprocessors.
        """
        super().__init__(*args, **settings)
        self._typed_name, self._side, self._view = typed_name, side, view

    def check(self, split: str, lengths: Mapping[str, Size]) -> None:
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

    def needed(self, lengths: Mapping[str, Size]) -> Needed | None:
        """How large pictures have to come for `row`."""
        return Needed.by(lengths["image"], self._view) if "image" in lengths else None

    def row(
        self,
        example: Example,
        lengths: Mapping[str, Size],
        random: np.random.Generator,
        described: Sequence[str] = (),
    ) -> dict[str, Any]:
        """``text_tokens int32[text]``, ``image uint8[size, 3]`` or ``image_tokens int32[n]``.

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
            may_flip = not (self._view.flip and tells_sides(example["captions"]["text"]))
            row["image"] = frame(
                example["image"], lengths["image"], self._view, drawn, may_flip=may_flip
            )
        else:
            row["image"] = example["image"]
        return row

    def _tokens(self, caption: bytes, length: Any) -> np.ndarray:
        """Cut, ended, and padded with 0."""
        vocabulary = self.output_features["text"].vocabulary
        ids = vocabulary.encode(caption.decode("utf-8", "replace"))[: length - 1]
        tokens = np.zeros(length, np.int32)
        tokens[: len(ids) + 1] = [*ids, vocabulary.eos_id]
        return tokens


def indexed_task(task: Any, split: str, lengths: Mapping[str, Size]) -> PerExampleTask:
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
