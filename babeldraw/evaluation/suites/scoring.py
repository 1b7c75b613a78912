"""A suite's pictures under any number of scores, in all and by category."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from babeldraw.data.picture_files.images import decode_image, read_framed
from babeldraw.data.picture_files.view import View
from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import (
    SUFFIXES,
    OfEntries,
    Picture,
    Pictures,
    Score,
    ScoreResult,
    mean_result,
)
from babeldraw.evaluation.suites.drawing import Drawn
from babeldraw.evaluation.suites.entries import Suite
from babeldraw.sizes import Size

Results = dict[str, dict[str, ScoreResult]]
"""Name of a score -> name of a number -> the number."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """What is scored: pictures, and the place of each one's entry in the suite."""

    suite: Suite
    pictures: Pictures
    entries: Sequence[int]

    @property
    def texts(self) -> list[str]:
        """What each picture was drawn from."""
        return [self.suite.entries[index].prompt for index in self.entries]

    @property
    def ids(self) -> list[str]:
        """Of each picture's entry."""
        return [self.suite.entries[index].id for index in self.entries]


class Files(Sequence[Picture]):
    """Drawn pictures, each read when it is asked for, local or in a bucket."""

    def __init__(self, drawn: Drawn, places: Sequence[int]) -> None:
        self._drawn, self._places = drawn, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int | slice) -> "Picture | Files":  # type: ignore[override]
        if isinstance(index, slice):
            return Files(self._drawn, self._places[index])
        path = self._drawn.path(self._places[index])
        with path.open("rb") as file:
            return decode_image(file, str(path))


class References(Sequence[Picture]):
    """Real pictures as the run sees those that it is evaluated on, each read when asked for."""

    def __init__(self, items: Sequence[Picture | str], size: Size, view: View) -> None:
        self._items, self._size, self._view = items, size, view

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int | slice) -> "Picture | References":  # type: ignore[override]
        if isinstance(index, slice):
            return References(self._items[index], self._size, self._view)
        item = self._items[index]
        return item if isinstance(item, np.ndarray) else read_framed(item, self._size, self._view)


def references_of(suite: Suite, size: Size, view: View) -> tuple[Pictures | None, list[int]]:
    """The suite's own real pictures and the entry of each; None where there is none."""
    entries = [index for index, each in enumerate(suite.entries) if each.reference is not None]
    items = [suite.entries[index].reference for index in entries]
    found = [item for item in items if item is not None]
    return (Pictures(References(found, size, view)) if found else None), entries


def folder_references(folder: str, size: Size, view: View) -> Pictures:
    """All pictures of a folder and its subfolders, in order of their names, as the run sees them.

    Raises:
      UserError: there is no such folder, or no picture in it.
    """
    Pictures.of_folder(folder)  # says what is wrong
    found = sorted(file for file in pathlib.Path(folder).rglob("*") if is_taken(file))
    return Pictures(References([str(file) for file in found], size, view))


def is_taken(file: pathlib.Path) -> bool:
    """Whether `Pictures.of_folder` takes it."""
    return file.suffix.lower() in SUFFIXES and file.is_file()


def drawn_pictures(drawn: Drawn, kept: Sequence[int] | None = None) -> Shown:
    """The pictures of a suite that are scored.

    Args:
      kept: places among the jobs; None: all.
    """
    places = list(range(len(drawn.jobs))) if kept is None else list(kept)
    entries = [drawn.jobs[place].entry for place in places]
    return Shown(drawn.suite, Pictures(Files(drawn, places)), entries)


def score_all(scores: Sequence[Score], shown: Shown, references: Pictures | None) -> Results:
    """Every number of every score. To be called by all processes.

    Raises:
      UserError: two scores have one name; and of the scores.
    """
    names = [score.name for score in scores]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"the score {twice!r} is asked for twice; leave one of them out.")
    return {score.name: _numbers(score, shown, references) for score in scores}


def _numbers(score: Score, shown: Shown, references: Pictures | None) -> dict[str, ScoreResult]:
    """Two entries of one text may ask for different things: what can tell them apart, does."""
    if isinstance(score, OfEntries):
        return score.of_entries(shown.pictures, shown.ids, shown.texts)
    return score.of(shown.pictures, shown.texts, references)


def by_prompt(values: Float[np.ndarray, " n"], shown: Shown) -> Float[np.ndarray, " entries"]:
    """The mean of each entry's pictures; NaN for one without any that is scored."""
    count = len(shown.suite)
    known = np.isfinite(values)
    index = np.asarray(shown.entries)[known]
    sums = np.bincount(index, weights=values[known], minlength=count)
    counts = np.bincount(index, minlength=count)
    means = np.full(count, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def by_kind(results: Results, shown: Shown, kind: str) -> Mapping[str, Results]:
    """Of each category or challenge the numbers that are means over pictures.

    Args:
      kind: "category" or "challenge".
    """
    names = [getattr(shown.suite.entries[index], kind) for index in shown.entries]
    found: dict[str, Results] = {}
    for name in sorted(set(names) - {""}):
        rows = np.array([each == name for each in names])
        part = functools.partial(_part, rows)
        found[name] = {score: part(values) for score, values in results.items() if part(values)}
    return found if len(found) > 1 else {}


def _part(
    rows: Bool[np.ndarray, " n"], values: Mapping[str, ScoreResult]
) -> dict[str, ScoreResult]:
    """Of some pictures the numbers that are means; pictures that are not scored have NaN."""
    found = {}
    for name, result in values.items():
        if result.per_picture is not None and len(result.per_picture) == len(rows):
            scored = result.per_picture[rows & np.isfinite(result.per_picture)]
            if len(scored):
                found[name] = mean_result(scored)
    return found
