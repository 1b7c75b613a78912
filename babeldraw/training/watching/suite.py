"""A small suite of prompts, drawn and scored every so many steps: records of the split `suite`."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from babeldraw.objectives.base import Networks, Objective
from babeldraw.parallel.rules import in_sequence
from babeldraw.training.state import TrainState
from babeldraw.training.watching.hooks import BatchSource, Hook
from babeldraw.training.watching.looked import SEEN, Looked
from babeldraw.training.watching.metrics import Writer

SPLIT = "suite"

Scorer = Callable[[Networks], Mapping[str, float]]
"""Of the networks on the mesh, trained and frozen: numbers by name."""


class Suite(Protocol):
    """What the loop is given.

    Attributes:
      every: steps between two looks; 0 for none.
    """

    every: int

    def open(self, objective: Objective, dataset: BatchSource) -> Scorer | None:
        """What draws and scores it with a run's networks; None where there is no suite.

        Raises:
          UserError: the objective draws no pictures, or the suite is not what it should be.
        """


def score_suite(suite: Suite | None, looked: Looked, write: Writer) -> list[Hook]:
    """The hook of a run's suite, if it has one; the suite is read before the first step."""
    if suite is None or not suite.every:
        return []
    scorer = suite.open(looked.objective, looked.batches[SEEN].dataset)
    return [] if scorer is None else [ScoreSuite(suite.every, scorer, looked, write)]


class ScoreSuite:
    """Writes a record of the numbers."""

    def __init__(self, every: int, scorer: Scorer, looked: Looked, write: Writer) -> None:
        self.every = every
        self._scorer, self._looked, self._write = scorer, looked, write

    def __call__(self, step: int, state: TrainState) -> None:
        """Draws with the parameters as they are."""
        boxes = self._looked.objective.abstract_params
        trained: dict[str, Any] = {
            name: in_sequence(params, boxes[name]) for name, params in state.params.items()
        }
        found = self._scorer({**trained, **self._looked.all_constants()})
        self._write(step, SPLIT, dict(found))
