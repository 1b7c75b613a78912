"""Pictures asked for one by one, in groups of one size: the same bits whatever the batch.

A product adds up in an order that depends on its shape. So where numbers are to repeat bit for bit,
each device draws groups of as many pictures as always, however many groups a batch has.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from babeldraw.sampling.batches import fit_groups
from babeldraw.sampling.generate import with_conditions
from babeldraw.sampling.pictures import Sampler, prompt_ids


class Rows(NamedTuple):
    """Pictures, and what they were made from; see `pictures.Samples`."""

    images: UInt8[np.ndarray, "rows height width 3"]
    tokens: Int[np.ndarray, "rows n"]
    scores: Float[np.ndarray, " rows"]


def draw_rows(
    sampler: Sampler,
    prompts: Int[np.ndarray, "rows *conditions"],
    numbers: Int[np.ndarray, " rows"],
    *,
    seed: int = 0,
    shared: int = 1,
    on_batch: Callable[[int, Rows], None],
) -> None:
    """Draws a picture a row, in groups of `sampler.together` rows, and hands over batch by batch.

    A row is the picture that `Sampler.generate` draws of its prompt as the sample of its number.
    Its bits depend on the rows of its group besides, as far as rounding reaches; and on nothing
    else: not on `batch_size`, nor on how many devices share a batch.

    Args:
      prompts: see `generate`; one a row.
      numbers: of each row among the samples of its prompt.
      shared: so many rows next to each other have the same prompt, throughout; it divides
        `together`, and the prompt is encoded once for them.
      on_batch: called with the number of the batch's first row, and the batch.

    Raises:
      UserError: a class is none of the model's.
    """
    asked = with_conditions(sampler.model, np.asarray(prompts, np.int32))
    sampler.check_classes(asked)
    size = sampler.together
    assert size is not None and size % shared == 0
    ids = prompt_ids(asked)
    groups = -(-len(asked) // size)
    at_once = fit_groups(max(1, min(sampler.batch_size // size, groups)), sampler.mesh)
    for start in range(0, groups, at_once):
        # What is missing of the last group is its first row; of groups, the batch's first one.
        group = np.arange(start, start + at_once)
        group = np.where(group < groups, group, start)
        rows = group[:, None] * size + np.arange(size)
        rows = np.where(rows < len(asked), rows, rows[:, :1]).reshape(-1)
        inputs = asked[rows[::shared]], ids[rows], numbers[rows].astype(np.uint32)
        first = start * size
        drawn = sampler.run(*inputs, np.int32(seed), None)
        on_batch(first, Rows(*(part[: len(asked) - first] for part in drawn)))
