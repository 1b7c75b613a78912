"""Which real picture is nearest by its pixels: that of the prompt, or another one's?"""

from collections.abc import Mapping, Sequence

import numpy as np

from babeldraw.errors import UserError
from babeldraw.evaluation.retrieval import nearest
from babeldraw.evaluation.scores.base import Pictures, ScoreResult, mean_result

SIDE = 16
"""Of the thumbnails that are compared: it has to divide the pictures' sides."""
MOST = 8192
"""Real pictures that are held in memory."""


class Nearest:
    """`right`: the nearest of the references is one of the picture's own text.

    Needs no trained network, so it favours nobody's features; for drawings, not for photographs.
    """

    name = "nearest real picture"

    def __init__(self, texts: Sequence[str]) -> None:
        """Takes the text of each reference."""
        self._texts = np.array(texts)

    @property
    def settings(self) -> Mapping[str, object]:
        return {"distance": "squared, of 16 x 16 box averages", "candidates": len(self._texts)}

    def of(
        self, pictures: Pictures, texts: Sequence[str], references: Pictures | None
    ) -> dict[str, ScoreResult]:
        """`right`, a mean over pictures.

        Raises:
          UserError: there are no references, or others than it was told the texts of.
        """
        if references is None or len(references) != len(self._texts):
            raise UserError(
                "The nearest real picture is looked for among references with texts: give a suite "
                "whose prompts have some."
            )
        real = np.stack(list(references))
        found = [nearest(batch, real) for batch in pictures.batches(256)]
        right = self._texts[np.concatenate(found)] == np.array(texts)
        return {"right": mean_result(right.astype(float))}
