"""What `benchmarks.emoji_model scores` measures: is the nearest real picture the one asked for?"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from babeldraw.cli.support.exported import Exported
from babeldraw.cli.support.models import open_model
from babeldraw.cli.support.runs import Run
from babeldraw.data.sets import emoji_sheets
from babeldraw.data.sets.emoji_grid import Cell
from babeldraw.evaluation.retrieval import Gallery, nearest
from babeldraw.evaluation.scores.base import mean_result
from babeldraw.pieces import encode
from babeldraw.sampling.pictures import Sampler
from babeldraw.sampling.rerank import Reranker
from babeldraw.training.watching.captioned import write_captioned

SHOWN = 8
"""Prompts of each split on the sheet: the first of those drawn at random."""


@dataclasses.dataclass(frozen=True)
class Cells:
    """All real pictures, and what each is; the gallery has them in the same order."""

    cells: Sequence[Cell]
    gallery: Gallery

    @classmethod
    def read(cls, size: int) -> "Cells":
        """Those of `size` px, which are inside the package or have been built.

        Raises:
          UserError: they have not.
        """
        folder = emoji_sheets.find_folder(size)
        cells = emoji_sheets.read_cells(folder)
        images = emoji_sheets.read_images(folder, size, cells)
        concepts, styles = (np.array([getattr(c, n) for c in cells]) for n in ("concept", "style"))
        return cls(cells, Gallery(images, concepts, styles))

    def some(self, split: str, count: int) -> Int[np.ndarray, " n"]:
        """At most `count` cells of a split, by a draw of seed 0."""
        rows = np.array([i for i, cell in enumerate(self.cells) if cell.split == split])
        return np.random.default_rng(0).permutation(rows)[:count]


@dataclasses.dataclass(frozen=True)
class Model:
    """A text-to-image run, or an exported model, ready to draw.

    Attributes:
      candidates: pictures drawn of each prompt; that which `judge`, a CoCa run or an exported model
        with one, finds the most like it is taken.
    """

    run: Run | Exported
    sampler: Sampler
    candidates: int
    judge: Run | Exported

    @classmethod
    def open(
        cls, name: str, settings: dict[str, Any], candidates: int = 1, judge: str | None = None
    ) -> "Model":
        """The latest checkpoint of a run, or an exported model; `judge`: its own by default."""
        run = open_model(name, wanted="sampler")
        other = open_model(judge, wanted="reranker") if judge else run
        return cls(run, run.sampler(batch_size=48, **settings), candidates, other)

    @property
    def size(self) -> int:
        """Side of its pictures."""
        size: int = self.sampler.tokenizer.image_size  # type: ignore[assignment]
        return size

    @property
    def step(self) -> int:
        """Of that checkpoint."""
        return self.run.step

    def draw(self, prompts: Sequence[str], seed: int) -> UInt8[np.ndarray, "n size size 3"]:
        """A picture a prompt."""
        length = self.sampler.model.text_length  # type: ignore[attr-defined]
        text = encode(prompts, self.run.vocabulary, length)
        drawn = self.sampler(text, seed=seed, num_samples=self.candidates)
        if self.candidates == 1:
            return drawn[:, 0]
        asked = encode(prompts, self.judge.judge_vocabulary, self._reranker.model.text_length)
        best = self._reranker(asked, drawn).argmax(axis=1)
        return drawn[np.arange(len(best)), best]

    @functools.cached_property
    def _reranker(self) -> Reranker:
        return self.judge.reranker(batch_size=48)


@dataclasses.dataclass(frozen=True)
class Score:
    """Of each prompt, the share of seeds whose picture is right; and the pictures of seed 0."""

    concept: Float[np.ndarray, " n"]
    style: Float[np.ndarray, " n"]
    both: Float[np.ndarray, " n"]
    samples: UInt8[np.ndarray, "n size size 3"]

    def as_data(self) -> dict[str, Any]:
        """Means and intervals of 95% over the prompts."""
        found = {name: mean_result(getattr(self, name)) for name in ("concept", "style", "both")}
        return {name: [r.value, *(r.interval or ())] for name, r in found.items()}

    def in_words(self) -> list[str]:
        """The same for a table."""
        return [
            f"{mean:.2f} ({low:.2f} to {high:.2f})" for mean, low, high in self.as_data().values()
        ]


def score(model: Model, cells: Cells, rows: Int[np.ndarray, " n"], seeds: int) -> Score:
    """Draws each cell's own caption once a seed.

    A real picture that is identical to the one asked for counts as it, as in `retrieval.top1`.
    """
    prompts = [cells.cells[row].caption for row in rows]
    gallery, first = cells.gallery, None
    right = np.zeros((3, len(rows)))
    for seed in range(seeds):
        samples = model.draw(prompts, seed)
        first = samples if first is None else first
        found = nearest(samples, gallery.images)
        identical = (gallery.images[found] == gallery.images[rows]).all((1, 2, 3))
        concept = identical | (gallery.concepts[found] == gallery.concepts[rows])
        style = identical | (gallery.styles[found] == gallery.styles[rows])
        right += np.stack([concept, style, concept & style]) / seeds
    assert first is not None
    return Score(concept=right[0], style=right[1], both=right[2], samples=first)


def write_sheet(
    path: Path, cells: Cells, drawn: Sequence[tuple[str, Int[np.ndarray, " n"], Score]]
) -> None:
    """The first prompts of each split: the real picture above what was drawn with seed 0."""
    pairs, captions = [], []
    for name, rows, result in drawn:
        for row, sample in zip(rows[:SHOWN], result.samples, strict=False):
            pairs.append([cells.gallery.images[row], sample])
            captions.append(f"{cells.cells[row].caption} ({name})")
    write_captioned(path, np.stack(pairs)[:, :, None], captions, columns=SHOWN)
