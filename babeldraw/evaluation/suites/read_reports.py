"""Reports of suites, read as foreign data: what they say is text, and no other file is opened."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Float

from babeldraw import files
from babeldraw.data.picture_files.images import UnreadableImage, decode_image
from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Picture
from babeldraw.evaluation.suites.folders import NAME, PROMPTS, is_report, read_json
from babeldraw.evaluation.suites.report import is_finite

_PICTURE = re.compile(r"pictures/\d{5,}/[A-Za-z0-9_.-]+\.png")


@dataclasses.dataclass(frozen=True)
class Report:
    """A report with its prompts, by their ids.

    Attributes:
      label: of its own among those of a page.
    """

    folder: epath.Path
    label: str
    said: Mapping[str, Any]
    prompts: Mapping[str, Mapping[str, Any]]

    @property
    def scores(self) -> Mapping[str, Any]:
        """Of each score its settings and values."""
        found = self.said.get("scores")
        return found if isinstance(found, Mapping) else {}

    def values(self, name: str, ids: Sequence[str]) -> Float[np.ndarray, " n"]:
        """A score of each prompt; NaN where there is none."""
        found = [self.prompts[each].get("scores", {}).get(name) for each in ids]
        return np.array([each if is_finite(each) else np.nan for each in found], np.float64)

    def picture(self, identity: str) -> Picture | None:
        """The first one of a prompt, if it is there."""
        names = self.prompts[identity].get("pictures")
        name = names[0] if isinstance(names, list) and names else ""
        if not isinstance(name, str) or not _PICTURE.fullmatch(name):
            return None
        try:
            with (self.folder / name).open("rb") as file:
                return decode_image(file, name)
        except (OSError, UnreadableImage):
            return None


def read_all(names: Sequence[str]) -> list[Report]:
    """Reports of one suite.

    Raises:
      UserError: one cannot be read, or is of another suite than the first.
    """
    reports = []
    short = [files.path(name).name for name in names]
    for place, name in enumerate(names):
        folder = files.path(name)
        if not is_report(name):
            raise UserError(
                f"{name} has no report of `babeldraw evaluate --suite`; give the --output of one."
            )
        label = short[place] if short.count(short[place]) == 1 else f"{short[place]} ({place + 1})"
        reports.append(
            Report(folder, label, read_json((folder / NAME).read_text()), _prompts(folder))
        )
    first = reports[0]
    for name, other in zip(names[1:], reports[1:], strict=True):
        if _suite(other).get("sha256") != _suite(first).get("sha256"):
            raise UserError(
                f"{name} is of another suite than {names[0]} ({named(other)}, not "
                f"{named(first)}); compare reports of the same prompts."
            )
    return reports


def _suite(report: Report) -> Mapping[str, Any]:
    found = report.said.get("suite")
    return found if isinstance(found, Mapping) else {}


def named(report: Report) -> str:
    """Its suite, for people."""
    suite = _suite(report)
    return f"{suite.get('prompts')} prompts of {suite.get('name')}"


def _prompts(folder: epath.Path) -> dict[str, Mapping[str, Any]]:
    try:
        lines = (folder / PROMPTS).read_text().splitlines()
    except OSError as error:
        raise UserError(f"{folder / PROMPTS} cannot be read; evaluate again.") from error
    found: dict[str, Mapping[str, Any]] = {}
    for line in map(read_json, lines):
        if isinstance(line.get("id"), str) and isinstance(line.get("scores"), Mapping):
            found[line["id"]] = line
    return found
