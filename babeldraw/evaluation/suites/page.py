"""`report.html` of a suite, and a page for each of its categories."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from etils import epath

from babeldraw.evaluation.reporting import document
from babeldraw.evaluation.reporting.document import (
    NOTHING,
    Html,
    Section,
    details,
    join,
    listing,
    paragraph,
    table,
)
from babeldraw.evaluation.reporting.pictures import Shown, gallery
from babeldraw.evaluation.scores.base import Picture
from babeldraw.evaluation.suites.report import flat, rounded, shown_value

FIRST = 48
"""Prompts whose pictures the report shows, at even distances."""
OF_CATEGORY = 200
"""Prompts of a category's page at most, at even distances."""
A_PROMPT = 4
"""Pictures of a prompt that are shown, the first ones."""

Reader = Callable[[str], Picture]
"""The picture of a file's name in the report's folder."""
References = Mapping[str, Callable[[], Picture]]
"""By the id of an entry, what reads its real picture."""


def write(
    folder: epath.Path,
    report: Mapping[str, Any],
    prompts: Sequence[Mapping[str, Any]],
    read: Reader,
    references: References,
) -> list[str]:
    """Writes `report.html`, and `categories/NAME.html` where there are several; returns names."""
    pages = {"report.html": _whole(report, prompts, read, references)}
    categories = report["by"]["category"]
    for name, scores in categories.items():
        rows = [line for line in prompts if line["category"] == name]
        pages[f"categories/{file_name(name)}.html"] = _of_category(
            report, name, scores, rows, read, references
        )
    for name, page in pages.items():
        document.write(folder / name, page)
    return list(pages)


def file_name(category: str) -> str:
    """Of a category's page, without its ending."""
    return re.sub(r"[^a-z0-9]+", "-", category.lower()).strip("-") or "category"


def _whole(
    report: Mapping[str, Any],
    prompts: Sequence[Mapping[str, Any]],
    read: Reader,
    references: References,
) -> str:
    suite, model = report["suite"], report["model"]
    lead = (
        f"{model['run']} at step {model['step']:,}: {report['drawing']['pictures']:,} pictures of "
        f"{suite['prompts']:,} prompts, of which {report['drawing']['scored']:,} are scored."
    )
    sections = [Section("Scores", _scores(report))]
    for kind, plural in (("category", "categories"), ("challenge", "challenges")):
        if report["by"][kind]:
            body = by_kind(report["by"][kind], kind)
            if kind == "category":
                body = join(body, paragraph("A page of each is in `categories/`.", "small"))
            sections.append(Section(f"By {plural}", body))
    shown = spread(prompts, FIRST)
    sections += [
        Section("Pictures", join(_said(shown, prompts), _gallery(shown, read, references))),
        Section("What the numbers depend on", _settings(report)),
        Section("How it was made", table(("what", ""), rows_of(report["made"]))),
    ]
    return document.page(f"Suite {suite['name']}", lead, sections)


def _scores(report: Mapping[str, Any]) -> Html:
    values = flat(report["scores"])
    bounds = report.get("bounds") or {}
    others = {name: flat(each["scores"]) for name, each in bounds.items()}
    rows = [
        (
            name,
            shown_value(value),
            f"{value['n']:,}",
            *(shown_value(each[name]) if name in each else "" for each in others.values()),
        )
        for name, value in values.items()
    ]
    warnings = [
        f"{name}: {warning}" for name, value in values.items() for warning in value["warnings"]
    ]
    notes = [f"{name}: {each['what']} n = {each['n']:,}." for name, each in bounds.items()]
    return join(
        table(("score", "value (95%)", "n", *others), rows),
        listing(report["warnings"], "alarms"),
        listing(notes),
        details("What to know of these numbers", listing(warnings)) if warnings else NOTHING,
    )


def by_kind(found: Mapping[str, Any], kind: str) -> Html:
    """A table: a row for each category, a column for each number."""
    columns = list(dict.fromkeys(name for each in found.values() for name in flat(each_of(each))))
    rows = []
    for name, each in found.items():
        values = flat(each_of(each))
        n = next(iter(values.values()))["n"] if values else 0
        cells = (shown_value(values[column]) if column in values else "" for column in columns)
        rows.append((name, f"{n:,}", *cells))
    return table((kind, "n", *columns), rows, "Means with 95% intervals") if rows else NOTHING


def each_of(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of a category in the form of the report's `scores`."""
    return {name: {"values": values} for name, values in scores.items()}


def _of_category(
    report: Mapping[str, Any],
    name: str,
    scores: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    read: Reader,
    references: References,
) -> str:
    challenges: dict[str, list[Mapping[str, Any]]] = {}
    for line in rows:
        challenges.setdefault(line["challenge"] or "no challenge", []).append(line)
    values = [
        (score, shown_value(value), f"{value['n']:,}")
        for score, value in flat(each_of(scores)).items()
    ]
    shown = spread(rows, OF_CATEGORY)
    sections = [
        Section("Scores", table(("score", "mean (95%)", "n"), values)),
        Section("By challenge", _means(challenges)),
        Section("Pictures", join(_said(shown, rows), _gallery(shown, read, references))),
    ]
    lead = (
        f"{len(rows):,} of the {report['suite']['prompts']:,} prompts of {report['suite']['name']}."
    )
    return document.page(name, lead, sections)


def _means(challenges: Mapping[str, Sequence[Mapping[str, Any]]]) -> Html:
    found = (name for lines in challenges.values() for line in lines for name in line["scores"])
    names = list(dict.fromkeys(found))
    rows = []
    for challenge, lines in sorted(challenges.items()):
        cells = []
        for name in names:
            values = [line["scores"].get(name) for line in lines]
            known = [value for value in values if value is not None]
            cells.append(f"{sum(known) / len(known):.4g}" if known else "")
        rows.append((challenge, f"{len(lines):,}", *cells))
    return table(("challenge", "prompts", *names), rows)


def _said(shown: Sequence[Any], of: Sequence[Any]) -> Html:
    none = "None is picked" if len(shown) == len(of) else "At even distances, none picked"
    return paragraph(f"{len(shown):,} of {len(of):,} prompts. {none}.", "small")


def _gallery(lines: Sequence[Mapping[str, Any]], read: Reader, references: References) -> Html:
    shown = []
    for line in lines:
        pictures = []
        if line["id"] in references:
            pictures.append(("real", references[line["id"]]()))
        pictures += [("drawn", read(name)) for name in line["pictures"][:A_PROMPT]]
        said = [
            f"{name.rpartition(': ')[2]} {value:.3g}"
            for name, value in line["scores"].items()
            if value is not None
        ]
        shown.append(Shown(line["prompt"], pictures, ", ".join(said)))
    return gallery(shown)


def _settings(report: Mapping[str, Any]) -> Html:
    parts = ("suite", "model", "drawing", "references", "versions")
    rows = [row for part in parts for row in rows_of(report[part], f"{part}: ")]
    rows += [
        row
        for name, each in report["scores"].items()
        for row in rows_of(each["settings"], f"{name}: ")
    ]
    return table(("what", ""), rows)


def rows_of(values: Mapping[str, Any] | None, before: str = "") -> list[tuple[str, str]]:
    """Names and values for a table."""
    return [(f"{before}{name}", _plain(value)) for name, value in (values or {}).items()]


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{rounded(value)}"
    return json.dumps(value, ensure_ascii=False)


def spread(lines: Sequence[Any], most: int) -> list[Any]:
    """At most so many, at even distances."""
    count = min(most, len(lines))
    return [lines[index * len(lines) // count] for index in range(count)]
