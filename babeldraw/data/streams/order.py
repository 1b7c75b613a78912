"""Which example stands where in a stream: a function of its position alone.

A position counts examples of the global batch from the start of the run, so that neither the number
of hosts nor where a run was stopped has anything to do with the order, and any position is had at
once.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

BLOCK = 10_000
"""Draws of a mixture in which its rates hold exactly, each task being drawn once at least."""


class Place(NamedTuple):
    """An example: which task, which of its passes, and which place in this pass."""

    task: int
    epoch: int
    slot: int


class Order:
    """The order of one task or of several that are mixed.

    Every pass of a task has each of its examples once, in another order where shuffled: a
    permutation that follows from seed and pass. Of an endless mixture each task has its rate in
    every `BLOCK` examples; passes of a mixture end when each task has had as many.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        rates: Sequence[float] = (1.0,),
        *,
        seed: int = 0,
        shuffle: bool = True,
        num_epochs: int | None = None,
    ) -> None:
        """Sizes and rates are of the tasks."""
        self._sizes, self._seed, self._shuffle = sizes, seed, shuffle
        self.length = None if num_epochs is None else sum(sizes) * num_epochs
        """How many positions there are; None: no end."""
        shares = np.asarray(rates, np.float64) / sum(rates)
        if num_epochs is None:
            counts = np.maximum(1, np.round(BLOCK * shares)).astype(np.int64)
        else:
            counts = np.asarray(sizes, np.int64) * num_epochs
        self._counts = counts
        self._tasks, self._ranks = _interleave(counts, shares)
        # A permutation has 8 bytes an example; a batch may span two passes.
        self._permutation = functools.lru_cache(maxsize=2 * len(sizes))(self._permute)

    def place(self, position: int) -> Place:
        """Of a position."""
        if len(self._sizes) == 1:
            return Place(0, *divmod(position, self._sizes[0]))
        block, within = divmod(position, len(self._tasks))
        task = int(self._tasks[within])
        drawn = block * int(self._counts[task]) + int(self._ranks[within])
        return Place(task, *divmod(drawn, self._sizes[task]))

    def index(self, place: Place) -> int:
        """Number of the example in its task's source."""
        if not self._shuffle:
            return place.slot
        return int(self._permutation(place.task, place.epoch)[place.slot])

    def _permute(self, task: int, epoch: int) -> Int[np.ndarray, " size"]:
        generator = np.random.default_rng([self._seed, epoch, task])
        return generator.permutation(self._sizes[task])


def _interleave(
    counts: Int[np.ndarray, " tasks"], shares: np.ndarray
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """`counts` draws of each task, spread evenly by its share: the tasks, and how often before."""
    if len(counts) == 1:  # all the same
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    tasks = np.repeat(np.arange(len(counts)), counts)
    ranks = np.concatenate([np.arange(count) for count in counts])
    drawn = np.argsort((ranks + 0.5) / shares[tasks], kind="stable")
    return tasks[drawn], ranks[drawn]


def example_random(seed: int, position: int) -> np.random.Generator:
    """Of what is random in the example at a position."""
    return np.random.default_rng(np.random.SeedSequence([seed, position], spawn_key=(1,)))
