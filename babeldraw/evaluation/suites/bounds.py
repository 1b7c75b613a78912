"""What a score is worth: the same scores of pictures that no model has drawn.

  real halves  real pictures of half of the prompts against the others: how good real ones are
  retrieved    of each prompt the training picture whose caption has the most of its words
  random       of each prompt any training picture: what says nothing of the prompt

As the published evaluations have a retrieval baseline beside the models (arXiv 2206.10789).
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Pictures, Score
from babeldraw.evaluation.suites.entries import Suite, digest_of
from babeldraw.evaluation.suites.scoring import Results, Shown, score_all

TRAINING = 8192
"""Training pictures that are looked at, the first ones."""


class Bound(NamedTuple):
    """Scores of what no model has drawn.

    Attributes:
      what: in a sentence.
    """

    what: str
    n: int
    results: Results


class Training(NamedTuple):
    """Some pictures that the run was trained on, with what is asked for to get each."""

    asked: Sequence[str]
    images: UInt8[np.ndarray, "n height width 3"]


def bounds_of(
    suite: Suite,
    scores: Sequence[Score],
    own: tuple[Pictures | None, Sequence[int]],
    references: Pictures | None,
    training: Training,
) -> dict[str, Bound]:
    """Floors and ceilings by name. To be called by all processes.

    Args:
      own: the suite's own real pictures, and the entry of each.
      references: what the drawn pictures were compared with.

    Raises:
      UserError: see `scoring.score_all`.
    """
    found = {}
    pictures, entries = own
    if pictures is not None:
        first, second = halves(suite, entries)
        one = Pictures([pictures[place] for place in first])
        half = Shown(suite, one, [entries[place] for place in first])
        other = Pictures([pictures[place] for place in second])
        what = "real pictures of half of the prompts, compared with those of the others."
        found["real halves"] = _bound(what, scores, half, other)
    chosen = {
        "retrieved": (
            "of each prompt the training picture whose caption has the most of its words.",
            retrieved([each.prompt for each in suite.entries], training.asked),
        ),
        "random": (
            "of each prompt some training picture, by the prompt's hash.",
            [int(digest_of(each.prompt), 16) % len(training.asked) for each in suite.entries],
        ),
    }
    for name, (what, rows) in chosen.items():
        shown = Shown(suite, Pictures(training.images[rows]), range(len(suite)))
        found[name] = _bound(what, scores, shown, references)
    return found


def _bound(what: str, scores: Sequence[Score], shown: Shown, references: Pictures | None) -> Bound:
    """Scores that cannot be had of these pictures, such as for want of pictures, are left out."""
    results: Results = {}
    for score in scores:
        try:
            results |= score_all([score], shown, references)
        except UserError as error:
            what = f"{what} Not by {score.name}: {error}"
    return Bound(what, len(shown.entries), results)


def halves(suite: Suite, entries: Sequence[int]) -> tuple[list[int], list[int]]:
    """Places of two halves of the real pictures, by the hashes of their entries' ids."""
    order = sorted(
        range(len(entries)), key=lambda place: digest_of(suite.entries[entries[place]].id)
    )
    middle = (len(order) + 1) // 2
    return sorted(order[:middle]), sorted(order[middle:])


def retrieved(prompts: Sequence[str], captions: Sequence[str]) -> list[int]:
    """Of each prompt the caption that is nearest by words: the cosine of tf-idf vectors.

    A word weighs `ln(n / captions that have it)`. Of equals the first; of none in common, too.
    """
    words = [Counter(_words(caption)) for caption in captions]
    having = Counter(word for each in words for word in each)
    weight = {word: math.log(len(captions) / count) for word, count in having.items()}
    places: dict[str, list[tuple[int, float]]] = {}
    for index, each in enumerate(words):
        norm = math.hypot(*(count * weight[word] for word, count in each.items())) or 1.0
        for word, count in each.items():
            places.setdefault(word, []).append((index, count * weight[word] / norm))
    found = []
    for prompt in prompts:
        cosines = np.zeros(len(captions))
        for word, count in Counter(_words(prompt)).items():
            for index, share in places.get(word, ()):
                cosines[index] += count * weight[word] * share
        found.append(int(np.argmax(cosines)))
    return found


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
