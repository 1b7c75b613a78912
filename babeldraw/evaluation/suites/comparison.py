"""Reports of one suite, side by side: differences paired by prompt, and the pictures."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from babeldraw.evaluation.reporting import document
from babeldraw.evaluation.reporting.document import Html, Section, details, paragraph, table
from babeldraw.evaluation.reporting.pictures import Shown, gallery
from babeldraw.evaluation.scores.base import bootstrap
from babeldraw.evaluation.suites.read_reports import Report, named
from babeldraw.evaluation.suites.report import flat, is_finite, shown_value

MOST = 24
"""Prompts that are shown of those that gained most, and of those that lost most."""
LISTED = 2000
"""Prompts in the table of all of them, at most."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of one number, a later report's less the first one's.

    Attributes:
      interval: of 95%; None where there is none.
      n: prompts that it is over; 0: it is no mean over prompts.
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    n: int


def differences(first: Report, other: Report) -> list[Difference]:
    """Of all numbers that both have.

    Of a mean the prompts are drawn again, the same ones of both reports (a paired bootstrap: 1,000
    resamples, seed 0). Of any other number, such as a distance of sets, there is the difference
    alone, and the interval that follows from both as if they were independent.
    """
    ids = [each for each in first.prompts if each in other.prompts]
    found = []
    one, two = (flat(report.scores) for report in (first, other))
    for name in one:
        if name not in two or not all(is_finite(each[name].get("value")) for each in (one, two)):
            continue
        paired = other.values(name, ids) - first.values(name, ids)
        paired = paired[np.isfinite(paired)]
        if len(paired):
            found.append(Difference(name, float(paired.mean()), bootstrap(paired), len(paired)))
            continue
        apart = two[name]["value"] - one[name]["value"]
        found.append(Difference(name, apart, _independent(apart, one[name], two[name]), 0))
    return found


def _independent(
    apart: float, one: Mapping[str, Any], two: Mapping[str, Any]
) -> tuple[float, float] | None:
    if not one["interval"] or not two["interval"]:
        return None
    widths = [high - low for low, high in (one["interval"], two["interval"])]
    half = float(np.hypot(*widths)) / 2
    return apart - half, apart + half


def page(reports: Sequence[Report]) -> str:
    """The whole document, of reports of one suite."""
    first, *others = reports
    labels = [report.label for report in reports]
    values = [flat(report.scores) for report in reports]
    names = list(dict.fromkeys(name for each in values for name in each))
    rows = [
        (name, *(shown_value(each[name]) if name in each else "" for each in values))
        for name in names
    ]
    sections = [
        Section("Scores", table(("score", *labels), rows, "With 95% intervals")),
        Section(
            f"Differences from {first.label}",
            parts=[Section(other.label, _table(differences(first, other))) for other in others],
        ),
        *(_prompt_by_prompt(first, other) for other in others),
        Section("Settings that differ", _settings(reports)),
    ]
    return document.page(
        f"{len(reports)} reports of {named(first)}", f"{', '.join(labels)}.", sections
    )


def _table(found: Sequence[Difference]) -> Html:
    rows = []
    for each in found:
        interval, sure = "", ""
        if each.interval is not None:
            low, high = each.interval
            interval, sure = f"{low:+.4g} to {high:+.4g}", "yes" if low > 0 or high < 0 else "no"
        how = f"paired over {each.n:,} prompts" if each.n else "of sets: as if independent"
        rows.append((each.name, f"{each.value:+.4g}", interval, sure, how))
    header = ("score", "difference", "95% interval", "beyond doubt", "how")
    return table(header, rows)


def _prompt_by_prompt(first: Report, other: Report) -> Section:
    """By the number that tells most prompts apart; of equals the first."""
    heading = f"Prompt by prompt: {other.label} against {first.label}"
    ids = [each for each in first.prompts if each in other.prompts]
    names = list(next(iter(first.prompts.values()), {}).get("scores", {}))
    every = {name: other.values(name, ids) - first.values(name, ids) for name in names}
    known = [name for name in names if np.isfinite(every[name]).any()]
    if not known:
        return Section(heading, paragraph("No score is of single prompts."))
    name = max(known, key=lambda each: np.count_nonzero(np.nan_to_num(every[each])))
    apart = every[name]
    order = [place for place in np.argsort(-apart, kind="stable") if np.isfinite(apart[place])]
    best = [place for place in order[:MOST] if apart[place] > 0]
    worst = [place for place in order[::-1][:MOST] if apart[place] < 0]
    rows = [
        (str(first.prompts[ids[place]].get("prompt", "")), f"{apart[place]:+.3g}")
        for place in order[:LISTED]
    ]
    more = f" (the first {LISTED:,} of {len(order):,})" if len(order) > LISTED else ""
    return Section(
        heading,
        paragraph(
            f"By {name}: {int((apart > 0).sum()):,} prompts gain, {int((apart < 0).sum()):,} lose, "
            f"{int((apart == 0).sum()):,} stay."
        ),
        [
            Section("Largest gains", _shown(first, other, [ids[i] for i in best], apart[best])),
            Section("Largest losses", _shown(first, other, [ids[i] for i in worst], apart[worst])),
            Section("All", details(f"All prompts{more}", table(("prompt", name), rows))),
        ],
    )


def _shown(
    first: Report, other: Report, ids: Sequence[str], apart: Float[np.ndarray, " n"]
) -> Html:
    if not ids:
        return paragraph("None.")
    shown = []
    for identity, value in zip(ids, apart, strict=True):
        found = [(report.label, report.picture(identity)) for report in (first, other)]
        pictures = [(label, picture) for label, picture in found if picture is not None]
        prompt = str(first.prompts[identity].get("prompt", ""))
        shown.append(Shown(prompt, pictures, f"{value:+.3g}"))
    return gallery(shown)


def _settings(reports: Sequence[Report]) -> Html:
    """What the reports say otherwise of what moves numbers."""
    parts = ("model", "drawing", "references", "versions")
    every: list[dict[str, str]] = []
    for report in reports:
        said = {part: report.said.get(part) for part in parts}
        for name, each in report.scores.items():
            said[name] = each.get("settings") if isinstance(each, Mapping) else None
        every.append(
            {
                f"{part}: {name}": json.dumps(value, ensure_ascii=False)
                for part, each in said.items()
                if isinstance(each, Mapping)
                for name, value in each.items()
            }
        )
    names = dict.fromkeys(name for each in every for name in each)
    rows = [
        (name, *(each.get(name, "not said") for each in every))
        for name in names
        if len({each.get(name) for each in every}) > 1
    ]
    if not rows:
        return paragraph("None: all settings are the same.")
    return table(("setting", *(report.label for report in reports)), rows)
