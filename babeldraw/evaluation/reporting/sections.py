"""The sections of a page about runs: of each stage pictures, sentences, alarms, curves, facts."""

from collections.abc import Mapping, Sequence

from babeldraw.evaluation.reporting import charts, differences, drawings, facts, findings
from babeldraw.evaluation.reporting.advice import advice
from babeldraw.evaluation.reporting.document import (
    NOTHING,
    Html,
    Section,
    code,
    join,
    listing,
    page,
    paragraph,
    table,
)
from babeldraw.evaluation.reporting.reading import Run


def report(runs: Sequence[Run]) -> str:
    """The whole page about some runs.

    Args:
      runs: of one stage or of several, at least one.
    """
    if len(runs) == 1:
        (run,) = runs
        stage = findings.TITLES[run.kind]
        title = stage if run.label == run.kind else f"{stage}: {run.label}"
        return page(title, _progress(run), of(runs))
    names = ", ".join(run.label for run in runs)
    stages = " and ".join(findings.TITLES[kind].lower() for kind in _by_kind(runs))
    return page(f"{len(runs)} runs: {stages}", f"{names}.", of(runs))


def of(runs: Sequence[Run]) -> list[Section]:
    """The sections about some runs; where they are of several stages, one a stage."""
    groups = _by_kind(runs)
    if len(groups) == 1:
        return _stage(runs)
    return [Section(findings.TITLES[kind], parts=_stage(group)) for kind, group in groups.items()]


def _by_kind(runs: Sequence[Run]) -> Mapping[str, list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.kind, []).append(run)
    return groups


def _progress(run: Run) -> str:
    data = findings.dataset(run)
    return findings.progress(run) + (f" Data: {data}." if data else "")


def _stage(runs: Sequence[Run]) -> list[Section]:
    they = "it" if len(runs) == 1 else "they"
    were = "was" if len(runs) == 1 else "were"
    found = [
        drawings.section(runs),
        _for_each(f"What {they} learned", runs, [_learned(run) for run in runs], _compared(runs)),
        Section("Curves", charts.charts(runs)),
        _for_each(f"How {they} {were} made", runs, [_history(run) for run in runs], _facts(runs)),
    ]
    steps = [listing(advice(run)) for run in runs]
    return [*found, _for_each("What to try next", runs, steps)] if any(steps) else found


def _for_each(
    heading: str, runs: Sequence[Run], bodies: Sequence[Html], above: Html = NOTHING
) -> Section:
    """Of one run what is said of it, of several a part each, without those that are empty."""
    if len(runs) == 1:
        return Section(heading, join(above, bodies[0]))
    named = zip(runs, bodies, strict=True)
    return Section(heading, above, [Section(run.label, body) for run, body in named if body])


def _learned(run: Run) -> Html:
    return join(
        listing(findings.sentences(run), "findings"),
        listing(map(findings.alarm, run.alarms), "alarms"),
    )


def _compared(runs: Sequence[Run]) -> Html:
    if len(runs) == 1:
        return NOTHING
    labels = [run.label for run in runs]
    rows = differences.settings(runs)
    return join(
        table(("score", *labels), differences.scores(runs), "At the end, on held-out pictures"),
        table(("setting", *labels), rows, "Settings that differ")
        if rows
        else paragraph("They do not differ in any setting."),
    )


def _facts(runs: Sequence[Run]) -> Html:
    every = [dict(facts.rows(run)) for run in runs]
    names = list(dict.fromkeys(name for values in every for name in values))
    rows = [(name, *(values.get(name, "not known") for values in every)) for name in names]
    return table(("what", *(run.label for run in runs)), rows)


def _history(run: Run) -> Html:
    """The command, and the changes of the recipe."""
    parts = []
    said = facts.command(run)
    if said:
        parts += [paragraph("The command:"), code(said)]
    for change in run.changes:
        lines = change.lines or ["in what is no macro: compare the files config*.gin of the run"]
        parts += [
            paragraph(f"The recipe changed after step {change.step:,}:"),
            listing(lines),
        ]
    return join(*parts)
