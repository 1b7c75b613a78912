"""What is done with drawn samples: put in order by a judge, the best kept, and enlarged."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from babeldraw.sampling.pictures import Samples
from babeldraw.sampling.rejection import keep_best
from babeldraw.sampling.upscale import Upscaler

Judge = Callable[
    [UInt8[np.ndarray, "prompts samples height width 3"]], Float[np.ndarray, "prompts samples"]
]
"""How well each picture is what was asked for: more is better."""


class Finished(NamedTuple):
    """Pictures to show.

    Attributes:
      images: in `order`, enlarged.
      order: their own numbers among the samples of a prompt.
      tokens, scores, found: by these numbers; see `Samples`. `found` is what the judge says.
    """

    images: UInt8[np.ndarray, "prompts kept height width 3"]
    order: Int[np.ndarray, "prompts kept"]
    tokens: Int[np.ndarray, "prompts samples n"]
    scores: Float[np.ndarray, "prompts samples"]
    found: Float[np.ndarray, "prompts samples"] | None


def finish(
    samples: Samples, keep: int, judge: Judge | None = None, upscaler: Upscaler | None = None
) -> Finished:
    """The `keep` best of each prompt by `judge`, best first; without one, all as they came."""
    images = samples.images
    prompts, count = images.shape[:2]
    order, found = np.tile(np.arange(count), (prompts, 1)), None
    if judge is not None:
        found = judge(images)
        order = keep_best(found, keep)
        images = np.take_along_axis(images, order[..., None, None, None], axis=1)
    if upscaler is not None:
        enlarged = upscaler(images.reshape(-1, *images.shape[2:]))
        images = enlarged.reshape(*images.shape[:2], *enlarged.shape[1:])
    return Finished(images, order, samples.tokens, samples.scores, found)
