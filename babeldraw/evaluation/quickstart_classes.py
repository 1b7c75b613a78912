"""What the quickstart of classes learned: is what is drawn of a class one of it, and how varied?

A drawing is compared with every training picture: the nearest one says of which class it is. So are
the held-out pictures, which tell how far that measure itself can be trusted. No sample is picked.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Int, UInt8

from babeldraw.evaluation import quickstart
from babeldraw.evaluation.quickstart import SCORED, Columns, Tokenized
from babeldraw.evaluation.retrieval import nearest
from babeldraw.models.image_decoder import NO_CLASS
from babeldraw.sampling.codec import Codec
from babeldraw.sampling.pictures import Sampler

DRAWN = 192
"""Pictures that are drawn in all, or one of each class where there are more of these."""

MOST_CLASSES = 96
"""Classes that are drawn at most, at even distances."""


@dataclasses.dataclass(frozen=True)
class DrawnClass:
    """What was drawn of a class.

    Attributes:
      number, name: of the class.
      nearest: the training picture that is nearest to each sample.
      found: which training picture that is.
      right: whether it is of this class.
    """

    number: int
    name: str
    samples: UInt8[np.ndarray, "n height width 3"]
    nearest: UInt8[np.ndarray, "n height width 3"]
    found: Int[np.ndarray, " n"]
    right: Bool[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True)
class Results:
    """Everything that the report shows.

    Attributes:
      loss, heldout_loss: nats a token.
      gap, heldout_gap: by how much the loss is larger where the class is not told.
      drawn: of each class that is drawn.
      real_right: the share of held-out real pictures whose nearest one in training is of their
        class, as drawings are judged.
      distinct, real_distinct: how many training pictures are the nearest one to a sample; and how
        many would be if each were drawn from its class at random, on average.
      chance: the share that would be right if each training picture were as near as the others.
      classes: how many there are, drawn or not.
    """

    tokenized: Tokenized
    loss: float
    heldout_loss: float
    gap: float
    heldout_gap: float
    drawn: Sequence[DrawnClass]
    real_right: float
    distinct: int
    real_distinct: float
    chance: float
    classes: int
    parameters: int


def evaluate(
    codec: Codec,
    sampler: Sampler,
    train: Columns,
    heldout: Columns,
    names: Sequence[str],
    seed: int,
) -> Results:
    """Scores both stages.

    Args:
      codec: the first stage.
      sampler: of the second stage.
      train, heldout: splits as `data.pipeline.Dataset.examples` gives them, with `class_id`.
      names: of the classes.
    """
    rng = np.random.default_rng(seed)
    shown = rng.permutation(len(heldout["image"][:SCORED]))[:12]
    real = train["image"], heldout["image"]
    tokenized = quickstart.through_tokenizer(codec, real[0][:SCORED], real[1][:SCORED], shown)
    variables = {"params": jax.device_put(sampler.params)}
    mean = quickstart.mean_loss(
        lambda classes, tokens: sampler.model.apply(variables, tokens, classes)
    )
    losses, gaps = [], []
    for split, tokens in ((train, tokenized.tokens), (heldout, tokenized.heldout_tokens)):
        classes = split["class_id"][:SCORED]
        losses.append(mean(classes, tokens))
        gaps.append(mean(np.full_like(classes, NO_CLASS), tokens) - losses[-1])
    sizes = np.bincount(train["class_id"], minlength=len(names))
    drawn = _draw(sampler, train, names, seed)
    each = len(drawn[0].samples)
    held = np.array([sizes[one.number] for one in drawn if sizes[one.number]])
    return Results(
        tokenized,
        loss=losses[0],
        heldout_loss=losses[1],
        gap=gaps[0],
        heldout_gap=gaps[1],
        drawn=drawn,
        real_right=float(_right(real[1], heldout["class_id"], train)[1].mean()),
        distinct=len(np.unique(np.concatenate([one.found for one in drawn]))),
        real_distinct=float(np.sum(held * (1 - (1 - 1 / held) ** each))),
        chance=float(np.mean([sizes[one.number] for one in drawn]) / sizes.sum()),
        classes=len(names),
        parameters=quickstart.count(sampler.params),
    )


def _draw(sampler: Sampler, train: Columns, names: Sequence[str], seed: int) -> list[DrawnClass]:
    """As many of each class."""
    count = min(len(names), MOST_CLASSES)
    asked = np.unique(np.linspace(0, len(names) - 1, count).round().astype(np.int32))
    samples = sampler(asked, num_samples=max(1, DRAWN // len(asked)), seed=seed)
    drawn = []
    for number, own in zip(asked.tolist(), samples, strict=True):
        found, right = _right(own, np.full(len(own), number), train)
        drawn.append(DrawnClass(number, names[number], own, train["image"][found], found, right))
    return drawn


def _right(
    pictures: UInt8[np.ndarray, "n height width 3"], classes: Int[np.ndarray, " n"], train: Columns
) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Which training picture is the nearest one, and whether it is of the class."""
    found = nearest(pictures, train["image"])
    return found, train["class_id"][found] == classes


def summary(results: Results, seconds: Mapping[str, float]) -> dict[str, Any]:
    """`report.json`. `seconds` are those of each part of this call, and their `total`."""
    found = quickstart.summary_of_tokenizer(results.tokenized, seconds)
    right = np.concatenate([one.right for one in results.drawn])
    found["image_tokens"] = {
        "loss": round(results.loss, 4),
        "heldout_loss": round(results.heldout_loss, 4),
        "class_gap": round(results.gap, 4),
        "heldout_class_gap": round(results.heldout_gap, 4),
    }
    tokens = results.tokenized.tokens.shape[1]
    found["classes"] = {
        "in_all": results.classes,
        "most_class_gap": round(float(np.log(results.classes)) / tokens, 4),
        "drawn": len(right),
        "right": round(float(right.mean()), 4),
        "heldout_real_right": round(results.real_right, 4),
        "chance": round(results.chance, 4),
        "distinct_nearest": results.distinct,
        "distinct_of_real": round(results.real_distinct, 1),
        "right_by_class": {one.name: round(float(one.right.mean()), 4) for one in results.drawn},
    }
    found["parameters"]["image_tokens"] = results.parameters
    return found
