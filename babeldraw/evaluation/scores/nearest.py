"""Which real picture is nearest by its pixels: that of the prompt, or another one's?"""

from collections.abc import Mapping, Sequence

import numpy as np

from babeldraw.errors import UserError
from babeldraw.evaluation.retrieval import nearest
from babeldraw.evaluation.scores.base import Picture, Pictures, ScoreResult, mean_result
from babeldraw.sizes import Size, height_and_width

SIDE = 16
"""Of the thumbnails that are compared: it has to divide the pictures' sides."""
MOST = 8192
"""Real pictures that are held in memory."""


def fits(size: Size) -> bool:
    """Whether thumbnails can be made of pictures of this size."""
    height, width = height_and_width(size)
    return height % SIDE == width % SIDE == 0


class Nearest:
    """`right`: the nearest real picture is one of the drawing's own text, or looks just like one.

    Needs no trained network, so it favours nobody's features; for drawings, not for photographs.
    """

    name = "nearest real picture"

    def __init__(self, texts: Sequence[str], others: Sequence[tuple[str, Picture]] = ()) -> None:
        """Takes the text of each reference, and further real pictures with theirs."""
        self._texts = np.array([*texts, *(text for text, _ in others)])
        self._others = [picture for _, picture in others]

    @property
    def settings(self) -> Mapping[str, object]:
        return {
            "distance": f"squared, of {SIDE} x {SIDE} box averages",
            "candidates": len(self._texts),
        }

    def of(
        self, pictures: Pictures, texts: Sequence[str], references: Pictures | None
    ) -> dict[str, ScoreResult]:
        """`right`, a mean over pictures.

        Raises:
          UserError: there are no references, or others than it was told the texts of.
        """
        if references is None or len(references) + len(self._others) != len(self._texts):
            raise UserError(
                "The nearest real picture is looked for among references with texts: give a suite "
                "whose prompts have some."
            )
        real = np.stack([*references, *self._others])
        found = np.concatenate([nearest(each, real) for each in pictures.batches(256)])
        # Some art sets draw two things alike, and nobody could tell them apart.
        alike = [
            self._looks_as(real, place, text) for place, text in zip(found, texts, strict=True)
        ]
        return {"right": mean_result(np.array(alike, float))}

    def _looks_as(self, real: np.ndarray, place: int, text: str) -> bool:
        own = real[self._texts == text]
        return bool(self._texts[place] == text or (own == real[place]).all((1, 2, 3)).any())
