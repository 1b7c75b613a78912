"""Curves on the page: drawings, what they show in words, and their figures as a table."""

from collections.abc import Sequence

from babeldraw.evaluation.reporting.document import (
    NOTHING,
    Html,
    details,
    join,
    paragraph,
    table,
    text,
)
from babeldraw.evaluation.reporting.reading import Run
from babeldraw.training.watching import chart, curves
from babeldraw.training.watching.panels import Line, Panel, Points, panels, title

_ROWS = 12
"""Of a table of a curve's figures."""


def charts(runs: Sequence[Run]) -> Html:
    """The curves of one run, or of several on the same axes."""
    several = len(runs) > 1
    drawn, zero = panels({run.label: run.series for run in runs})
    if not drawn:
        return paragraph("There is nothing to draw yet.")
    changes = [] if several else [change.step for change in runs[0].changes]
    learned = [panel for panel in drawn if not panel.is_machine]
    machine = [panel for panel in drawn if panel.is_machine]
    return join(
        _legend(runs, drawn) if several else NOTHING,
        paragraph(_of_changes(changes), "small"),
        _list(learned, several, changes),
        details("How the machine and the optimizer did", _list(machine, several, changes))
        if machine
        else NOTHING,
        paragraph(_left_out(zero), "small"),
    )


def _list(drawn: Sequence[Panel], several: bool, changes: Sequence[int]) -> Html:
    items = "".join(
        f"<li><figure><figcaption>{text(panel.title)}</figcaption>"
        f"{curves.to_svg(panel, describe(panel), several=several, changes=changes)}"
        f"{details('Figures', _figures(panel))}</figure></li>"
        for panel in drawn
    )
    return Html(f'<ul class="curves" role="list">{items}</ul>') if items else NOTHING


def describe(panel: Panel) -> str:
    """What one sees on the panel, in words."""
    return f"Curves of {panel.title}. " + " ".join(map(_describe, panel.lines))


def _describe(line: Line) -> str:
    (first, began), (last, ended) = line.points[0], line.points[-1]
    if len(line.points) == 1:
        return f"{line.label}: {began:.3g} at step {first:,}."
    low, high = (choose(line.points, key=lambda point: point[1]) for choose in (min, max))
    return (
        f"{line.label}: from {began:.3g} at step {first:,} to {ended:.3g} at step {last:,}, lowest "
        f"{low[1]:.3g} at step {low[0]:,}, highest {high[1]:.3g} at step {high[0]:,}."
    )


def _figures(panel: Panel) -> Html:
    """Some of the points of each line, at about even distances, the last one among them."""
    steps = sorted({step for line in panel.lines for step in _spread(line.points)})
    chosen = [steps[index * (len(steps) - 1) // max(_ROWS - 1, 1)] for index in range(_ROWS)]
    values = [dict(line.points) for line in panel.lines]
    rows = [
        (f"{step:,}", *(f"{value[step]:.4g}" if step in value else "" for value in values))
        for step in sorted(set(chosen))
    ]
    return table(("step", *(line.label for line in panel.lines)), rows, panel.title)


def _spread(points: Points) -> list[int]:
    size = -(-len(points) // _ROWS)
    return [step for step, _ in points[::-size]]


def _legend(runs: Sequence[Run], drawn: Sequence[Panel]) -> Html:
    plain = any(line.plain for panel in drawn for line in panel.lines)
    seen = any(line.split == "seen" for panel in drawn for line in panel.lines)
    dotted = " Dotted: pictures that were trained on." if seen else ""
    dashed = " Dashed: held out, without the prompt or without a network." if plain else ""
    items = "".join(
        f'<li><b style="color:var(--{chart.colour_of_run(index)})"></b>{text(run.label)}</li>'
        for index, run in enumerate(runs)
    )
    return join(
        Html(f'<ul class="legend" role="list">{items}</ul>'),
        paragraph(
            f"Thin and pale: training. With dots: held-out pictures.{dotted}{dashed}", "small"
        ),
    )


def _of_changes(changes: Sequence[int]) -> str:
    steps = ", ".join(f"{step:,}" for step in changes)
    return f"Dotted upright lines: the recipe changed after step {steps}." if changes else ""


def _left_out(zero: Sequence[str]) -> str:
    if not zero:
        return ""
    names = "; ".join(title(name) for name in zero)
    return f"Left out, because 0 throughout: {names}."
