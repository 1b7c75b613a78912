"""The scores of `babeldraw evaluate --suite`: those that the arguments ask for, opened."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from babeldraw.cli.support.prompt_files import SuiteDrawer
    from babeldraw.evaluation.scores.base import Pictures, Score
    from babeldraw.evaluation.suites.entries import Suite


def add_arguments(group: Any) -> None:
    """Adds those of scores."""


def open_scores(
    args: argparse.Namespace,
    suite: "Suite",
    own: "tuple[Pictures | None, Sequence[int]]",
    references: "Pictures | None",
    drawer: "SuiteDrawer",
) -> "list[Score]":
    """All of them, with their networks.

    Args:
      own: the suite's own real pictures, and the entry of each.
      references: what sets are compared with; None: there is nothing.

    Raises:
      UserError: a network's file is missing or of another form.
    """
    from babeldraw.evaluation.scores.checks import EmojiChecks
    from babeldraw.evaluation.scores.nearest import MOST, Nearest, fits

    scores: list[Score] = []
    checks = {each.prompt: each.checks for each in suite.entries}
    if any(checks.values()):
        scores.append(EmojiChecks(checks))
    pictures, entries = own
    few = pictures is not None and references is pictures and len(pictures) <= MOST
    if few and fits(drawer.sampler.tokenizer.image_size):
        scores.append(Nearest([suite.entries[index].prompt for index in entries], suite.others))
    return scores


def warnings(chooser: "str | None", scores: "Sequence[Score]") -> list[str]:
    """What a reader has to know before the numbers.

    Args:
      chooser: the fingerprint of the reranker's weights, if there is one.
    """
    return [
        f"the reranker is the scorer of {score.name!r} itself, which judges its own choice: read "
        "that score as its ceiling, or score with another network."
        for score in scores
        if chooser is not None and chooser in score.settings.values()
    ]
