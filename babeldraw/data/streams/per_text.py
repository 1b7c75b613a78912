"""Rows of texts without pictures, made one by one as `per_example` makes those with pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from babeldraw.data import preprocessing
from babeldraw.data.picture_files.view import Needed
from babeldraw.data.sources.indexed import Example
from babeldraw.data.streams.per_example import PerExampleTask
from babeldraw.sizes import Size


class TextTask(PerExampleTask):
    """A seqio task whose examples are ``text`` and ``augment``."""

    def check(self, split: str, lengths: Mapping[str, Size]) -> None:
        """Raises a `UserError` if there is no vocabulary."""
        spec = self.source.spec(split)
        preprocessing.check_vocabulary(spec, self.output_features, self._typed_name)

    def needed(self, lengths: Mapping[str, Size]) -> Needed | None:
        """Nothing: there is no picture."""
        return None

    def row(
        self,
        example: Example,
        lengths: Mapping[str, Size],
        random: np.random.Generator,
        described: Sequence[str] = (),
    ) -> dict[str, Any]:
        """``text_tokens int32[text]``: of a longer text a part, ended as a whole one is.

        Where ``augment`` is true, which part is drawn; elsewhere it is the first.
        """
        length = lengths["text"]
        assert isinstance(length, int)
        vocabulary = self.output_features["text"].vocabulary
        ids = vocabulary.encode(example["text"].decode("utf-8", "replace"))
        most, start = length - 1, 0
        if len(ids) > most and example["augment"]:
            start = int(random.integers(len(ids) - most + 1))
        part = ids[start : start + most]
        tokens = np.zeros(length, np.int32)
        tokens[: len(part) + 1] = [*part, vocabulary.eos_id]
        return {"text_tokens": tokens}
