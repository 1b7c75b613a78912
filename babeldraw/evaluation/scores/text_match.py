"""How well pictures fit their texts: cosine, and whether each finds the other among all."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Pictures, ScoreResult, mean_result
from babeldraw.evaluation.scores.hosts import gathered, share

RANKS = (1, 5, 10)
_BLOCK = 1024

Units = Float[np.ndarray, "n width"]
"""Vectors of length 1."""


class Embedder(Protocol):
    """Two towers: CLIP from a file, or a CoCa of ours."""

    @property
    def title(self) -> str:
        """As reports call it."""

    @property
    def settings(self) -> Mapping[str, object]:
        """What moves its numbers."""

    @property
    def batch_size(self) -> int:
        """Pictures at a time."""

    def embed_images(self, images: UInt8[np.ndarray, "n height width 3"]) -> Units: ...

    def embed_texts(self, texts: Sequence[str]) -> Units: ...


class TextMatch:
    """`cosine`, and `text_of_picture_r1`, `..._r5`, `..._r10` and `picture_of_text_r1`, ...

    A picture has found its text, or a text its picture, at rank k where fewer than k others fit at
    least as well: ties count against. All pictures of the same text are right for it. Each picture
    counts the same, a text as often as it has pictures.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @property
    def name(self) -> str:
        """Of the towers."""
        return f"text match, {self._embedder.title}"

    @property
    def settings(self) -> Mapping[str, object]:
        """Of the towers."""
        return {**self._embedder.settings, "retrieval": "among all pictures and texts given"}

    def of(
        self, pictures: Pictures, texts: Sequence[str], references: Pictures | None
    ) -> dict[str, ScoreResult]:
        """Numbers by name; references are not looked at. All processes have to call it.

        Raises:
          UserError: there are not as many texts as pictures, or none.
        """
        if len(pictures) != len(texts) or not texts:
            raise UserError(
                f"There are {len(pictures)} pictures and {len(texts)} texts: give each picture its "
                "text."
            )
        own = share(len(pictures))
        of_images = gathered(self._images(pictures[own]))
        different = list(dict.fromkeys(texts))
        numbers = {text: number for number, text in enumerate(different)}
        belongs = np.array([numbers[text] for text in texts])
        of_texts = self._embedder.embed_texts(different)
        results = {"cosine": mean_result((of_images * of_texts[belongs]).sum(axis=1))}
        text_ranks = _text_ranks(of_images, of_texts, belongs)
        picture_ranks = _picture_ranks(of_images, of_texts, belongs)[belongs]
        for kind, ranks, size in (
            ("text_of_picture", text_ranks, len(different)),
            ("picture_of_text", picture_ranks, len(pictures)),
        ):
            for k in RANKS:
                few = (f"There are only {size} to choose from.",) if size <= k else ()
                results[f"{kind}_r{k}"] = mean_result((ranks < k).astype(float), few)
        return results

    def _images(self, pictures: Pictures) -> Units:
        batches = pictures.batches(self._embedder.batch_size)
        found = [self._embedder.embed_images(batch) for batch in batches]
        width = self._embedder.embed_texts([""]).shape[1]
        return np.concatenate([np.zeros((0, width), np.float32), *found])


def _text_ranks(
    images: Units, texts: Float[np.ndarray, "m width"], belongs: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """How many other texts fit each picture at least as well as its own."""
    ranks = []
    for rows in _blocks(len(images)):
        fits = images[rows] @ texts.T
        own = np.take_along_axis(fits, belongs[rows, None], axis=1)
        ranks.append((fits >= own).sum(axis=1) - 1)
    return np.concatenate(ranks)


def _picture_ranks(
    images: Units, texts: Float[np.ndarray, "m width"], belongs: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " m"]:
    """How many pictures of others fit each text at least as well as the best of its own."""
    ranks = []
    for rows in _blocks(len(texts)):
        fits = texts[rows] @ images.T
        own: Bool[np.ndarray, "block n"] = np.arange(len(texts))[rows, None] == belongs
        best = np.where(own, fits, -np.inf).max(axis=1, keepdims=True)
        ranks.append(((fits >= best) & ~own).sum(axis=1))
    return np.concatenate(ranks)


def _blocks(length: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK) for start in range(0, length, _BLOCK))
