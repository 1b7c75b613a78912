"""What a server has to look at pictures with: a CoCa, and the probe of a run."""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8

from babeldraw.cli.support.exported import Exported
from babeldraw.cli.support.runs import Run
from babeldraw.data.picture_files.view import View
from babeldraw.evaluation.probe import Classifier
from babeldraw.pieces import encode
from babeldraw.sampling.rerank import Reranker
from babeldraw.sizes import Size, height_and_width

Images = UInt8[np.ndarray, "n height width 3"]


@dataclasses.dataclass(frozen=True)
class Judge:
    """A CoCa: how well pictures fit texts, and what it calls them."""

    run: Run | Exported
    reranker: Reranker

    @property
    def size(self) -> tuple[int, int]:
        """Of the pictures that it reads, in pixels."""
        return height_and_width(self.reranker.model.image_size)

    def check_size(self, size: Size) -> None:
        """Raises a `UserError` where it reads pictures of another size."""
        self.reranker.check_size(size)

    def warm_up(self) -> int:
        """Compiles all that requests run; returns how many programs these are."""
        blank = np.zeros((1, *self.size, 3), np.uint8)
        self.similarity("a", blank)
        self.caption(blank)
        return 3

    def similarity(self, prompt: str, images: Images) -> Float[np.ndarray, "n"]:
        """Cosine of each picture and the prompt."""
        text = encode([prompt], self.run.judge_vocabulary, self.reranker.model.text_length)
        found: np.ndarray = self.reranker(text, images[None])[0]
        return found

    def caption(self, images: Images) -> list[str]:
        """A text for each."""
        rows = self.reranker.caption(images)
        decode = self.run.judge_vocabulary.decode
        return [str(decode([int(token) for token in row if token])) for row in rows]


@dataclasses.dataclass(frozen=True)
class Classify:
    """A probe, and how its pictures come."""

    classifier: Classifier
    size: tuple[int, int]
    view: View

    def warm_up(self) -> None:
        """Compiles what requests run."""
        self.classifier(np.zeros((1, *self.size, 3), np.uint8))
