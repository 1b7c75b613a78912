"""What a text encoder has learned: hidden tokens guessed, and pictures found by their texts."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from babeldraw.objectives.base import Objective
from babeldraw.objectives.masking import SPECIAL
from babeldraw.objectives.text_encoder import TextEncoding

Texts = Int[np.ndarray, "n text"]


@dataclasses.dataclass(frozen=True)
class Guessed:
    """Hidden tokens of held-out texts.

    Attributes:
      accuracy: share that is guessed right.
      unigram: the share that is right of guessing always the most frequent token of training.
      tokens: how many there were.
    """

    accuracy: float
    unigram: float
    tokens: int


@dataclasses.dataclass(frozen=True)
class Found:
    """Each text looks for its picture among all, and each picture for its text.

    What has the same text is as right. Of ties the first counts.

    Attributes:
      text_to_image, image_to_text: shares whose best is right.
      text_to_image_5: the share of texts of whose best five one is right.
      chance: what `text_to_image` is of a random order.
      pairs: how many there were.
    """

    text_to_image: float
    text_to_image_5: float
    image_to_text: float
    chance: float
    pairs: int


def guess(
    objective: TextEncoding,
    networks: Mapping[str, Any],
    held_out: Texts,
    seen: Texts,
    batch_size: int = 64,
) -> Guessed:
    """Hides tokens of every text once, as training does, by keys that are always the same.

    Args:
      networks: of the run; its average is taken, if it has one.
      seen: texts of training, for the guess that reads nothing.
    """
    counts = np.bincount(seen[seen >= SPECIAL], minlength=SPECIAL + 1)
    most_frequent = int(np.argmax(counts))
    program = jax.jit(objective.guesses)
    right = unigram = tokens = 0
    for start in range(0, len(held_out), batch_size):
        text = held_out[start : start + batch_size]
        filled = np.resize(text, (batch_size, text.shape[1]))  # one program serves all
        key = jax.random.fold_in(jax.random.key(0), start)
        best, guessed = (
            np.asarray(part)[: len(text)] for part in program(networks, jnp.asarray(filled), key)
        )
        right += int(np.sum((best == text) & guessed))
        unigram += int(np.sum((text == most_frequent) & guessed))
        tokens += int(np.sum(guessed))
    return Guessed(right / max(tokens, 1), unigram / max(tokens, 1), tokens)


def find(
    objective: Objective,
    networks: Mapping[str, Any],
    pairs: Mapping[str, np.ndarray],
    batch_size: int = 64,
) -> Found:
    """Compares all pictures of a split with all of its texts.

    Args:
      networks: of the run, frozen ones as well.
      pairs: ``text_tokens``, and ``image`` or ``image_tokens``, of the whole split.

    Raises:
      NotOffered: the run compares no pictures with texts.
    """
    program = jax.jit(objective.embeddings)
    count = len(pairs["text_tokens"])
    parts = []
    for start in range(0, count, batch_size):
        rows = np.arange(start, start + batch_size) % count
        batch = {name: jnp.asarray(values[rows]) for name, values in pairs.items()}
        parts.append([np.asarray(part) for part in program(networks, batch)])
    of_image, of_text = (np.concatenate(part)[:count] for part in zip(*parts, strict=True))
    return score(of_text @ of_image.T, pairs["text_tokens"])


def score(scores: Float[np.ndarray, "texts images"], texts: Texts) -> Found:
    """The shares, from how well each text fits each picture; the k-th of both are a pair."""
    same = (texts[:, None] == texts[None]).all(-1)
    best = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(same, best[:, :5], axis=1)
    back = same[np.argmax(scores, axis=0), np.arange(len(texts))]
    return Found(
        float(ranked[:, 0].mean()),
        float(ranked.any(1).mean()),
        float(back.mean()),
        float(same.mean()),
        len(texts),
    )


def report(guessed: Guessed | None, found: Found | None) -> dict[str, Any]:
    """`report.json`."""
    parts = {"masked": guessed, "retrieval": found}
    return {name: dataclasses.asdict(part) for name, part in parts.items() if part is not None}


def table(guessed: Guessed | None, found: Found | None) -> str:
    """A line a figure."""
    lines = {}
    if guessed is not None:
        lines["hidden tokens guessed right"] = (
            f"{guessed.accuracy:.3f} (always the most frequent: {guessed.unigram:.3f}; "
            f"n = {guessed.tokens})"
        )
    if found is not None:
        lines["texts that find their picture"] = (
            f"{found.text_to_image:.3f}, among the best five {found.text_to_image_5:.3f} "
            f"(chance: {found.chance:.3f}; n = {found.pairs})"
        )
        lines["pictures that find their text"] = f"{found.image_to_text:.3f}"
    width = max(map(len, lines), default=0)
    return "\n".join(f"  {name:{width}}  {value}" for name, value in lines.items())
