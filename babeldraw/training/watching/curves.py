"""A run's metrics as curves: curves.png beside them, and drawings that a page holds.

Both are drawn by the same code, in the same colours. In a drawing for a page each colour is a CSS
variable, which the page sets for light and for dark.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from etils import epath

from babeldraw.training.watching.panels import Line, Panel, Points, Series, panels, parse_series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "ink": "#1f2328",
    "soft": "#57606a",
    "rule": "#d8dee4",
    "c0": "#1d5fa8",
    "c1": "#b3400a",
    "c2": "#1f7a34",
    "c3": "#5c6370",
    "c4": "#7b3fb5",
    "c5": "#a3195b",
    "c6": "#00707a",
}
"""Name -> colour on a light page. Of one run c0 is training, c1 held out, c2 seen."""

_OF_SPLITS = ("c0", "c1", "c2", "c4", "c3")
_OF_RUNS = ("c0", "c1", "c2", "c4", "c5", "c6")
_COLUMNS = 3
_MOST_POINTS = 300
_SIZE = (3.8, 2.5)
"""Inches of a panel."""


def write_curves(metrics: epath.Path, path: epath.Path) -> None:
    """Draws the metrics of a metrics.jsonl over the steps: training and evaluation together.

    Args:
      metrics: what `metrics.JsonLines` wrote.
      path: the PNG file to write; none where there are no metrics.
    """
    # The object-oriented interface needs no display, and leaves pyplot's settings alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn, _ = panels({"": read_series(metrics)})
    if not drawn:
        return
    rows = math.ceil(len(drawn) / _COLUMNS)
    figure = Figure(figsize=(_SIZE[0] * _COLUMNS, _SIZE[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for index, panel in enumerate(drawn):
        draw(figure.add_subplot(rows, _COLUMNS, index + 1), panel)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, format="png")
    path.write_bytes(buffer.getvalue())


def read_series(metrics: epath.Path) -> Series:
    """Metric -> split -> points, see `panels.parse_series`."""
    return parse_series(metrics.read_text())


def to_svg(
    panel: Panel, label: str, *, several: bool = False, marks: Mapping[int, str] | None = None
) -> str:
    """The panel as an `<svg>` element that stands in a page.

    Args:
      label: what the picture shows, for those who do not see it.
      several: the colours are those of runs, and the legend is the page's.
      marks: step -> text of a vertical line.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # One figure's identifiers must not be another's on the same page.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": panel.name + label}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        figure.patch.set_visible(False)
        draw(figure.subplots(), panel, several=several, marks=marks or {}, titled=False)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    (box,) = re.findall(r'viewBox="[-\d. ]+"', text)[:1]
    escaped = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    head = f'<svg class="curve" role="img" aria-label="{escaped}" {box}>'
    body = text[text.index(">") + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"font: [^;\"]*", lambda found: _plain_font(found.group()), body)
    for name, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{name})")
    return head + body


def draw(
    axes: "Axes",
    panel: Panel,
    *,
    several: bool = False,
    marks: Mapping[int, str] | None = None,
    titled: bool = True,
) -> None:
    """Draws the panel's lines: training thin, held out with a dot a point."""
    from matplotlib.ticker import MaxNLocator

    for line in panel.lines:
        steps, values = zip(*thinned(line.points), strict=True)
        thin = several and line.split == "train"
        axes.plot(
            steps,
            values,
            color=_colour(line, several),
            linestyle=(0, (2, 2)) if line.plain else "-",
            linewidth=1.0 if thin else 1.6,
            alpha=0.55 if thin else 1.0,
            marker="o" if line.split != "train" else None,
            markersize=2.6,
            label=line.label,
        )
    for step in marks or ():
        axes.axvline(step, color=COLOURS["soft"], linestyle=(0, (1, 2)), linewidth=1)
    if _is_steep([value for line in panel.lines for _, value in line.points]):
        axes.set_yscale("log")
    if titled:
        axes.set_title(panel.title, fontsize=9, color=COLOURS["ink"], loc="left", parse_math=False)
    axes.set_xlabel("step", fontsize=9, color=COLOURS["soft"])
    axes.tick_params(which="both", labelsize=9, colors=COLOURS["soft"], length=0)
    axes.xaxis.set_major_formatter(_steps)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.grid(color=COLOURS["rule"], linewidth=0.8)
    axes.patch.set_visible(False)
    axes.spines[:].set_visible(False)
    if not several and len(panel.lines) > 1:
        legend = axes.legend(fontsize=9, labelcolor=COLOURS["ink"], frameon=False)
        for text in legend.get_texts():  # a name from a file is no formula
            text.set_parse_math(False)


def colour_of_run(index: int) -> str:
    """The name in `COLOURS` of the colour of a run among several."""
    return _OF_RUNS[index % len(_OF_RUNS)]


def _colour(line: Line, several: bool) -> str:
    return COLOURS[colour_of_run(line.slot) if several else _OF_SPLITS[line.slot]]


def thinned(points: Points) -> Points:
    """At most 300: means of as many neighbours as it takes, each at the last one's step."""
    size = math.ceil(len(points) / _MOST_POINTS)
    parts = (points[start : start + size] for start in range(0, len(points), size))
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def _is_steep(values: Sequence[float]) -> bool:
    """Whether a few large values would press all others onto the axis."""
    ordered = sorted(values)
    return ordered[0] > 0 and ordered[-1] > 20 * ordered[len(ordered) // 2]


def _steps(step: float, _: float) -> str:
    return f"{step / 1000:g}k" if step >= 10_000 else f"{step:,.0f}"


def _plain_font(style: str) -> str:
    """The size alone: the page says which font."""
    (size,) = re.findall(r"[\d.]+px", style)[:1] or ["9px"]
    return f"font-size: {size}"
