"""A run's metrics as one picture of curves, to look at."""

import io
import json
import math

from etils import epath

_COLUMNS = 4


def write_curves(metrics: epath.Path, path: epath.Path) -> None:
    """Draws every metric of a metrics.jsonl over the steps: training and evaluation together.

    Args:
      metrics: what `metrics.JsonLines` wrote.
      path: the PNG file to write.
    """
    # The object-oriented interface needs no display, and leaves pyplot's settings alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    series = read_series(metrics)
    if not series:
        return
    rows = math.ceil(len(series) / _COLUMNS)
    figure = Figure(figsize=(3.4 * _COLUMNS, 2.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for index, (name, splits) in enumerate(sorted(series.items())):
        axes = figure.add_subplot(rows, _COLUMNS, index + 1)
        for split, points in sorted(splits.items()):
            steps, values = zip(*points, strict=True)
            style = "o-" if split == "eval" else "-"
            axes.plot(steps, values, style, label=split, markersize=2, linewidth=1)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        if len(splits) > 1:
            axes.legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, format="png")
    path.write_bytes(buffer.getvalue())


def read_series(metrics: epath.Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Metric -> split -> points. Values that are not finite are null there and missing here."""
    series: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for line in metrics.read_text().splitlines():
        record = json.loads(line)
        step, split = record.pop("step"), record.pop("split")
        del record["time"]
        for name, value in record.items():
            if value is not None:
                series.setdefault(name, {}).setdefault(split, []).append((step, value))
    return series
