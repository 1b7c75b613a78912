"""The table and the plot of `benchmarks.class_conditional`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = (1.0, 1.5, 2.0, 3.0, 5.0)
DRAWN = {"cutoff": ("no ema", 0.1), "no cutoff": ("no ema", 0.0), "average": ("ema", 0.1)}
"""Of which weights, and the cutoff."""
KEEP = 0.25
PARTS = ("", "kept ")
SHOWN_WEIGHTS = (1.0, 3.0)

Records = Sequence[Mapping[str, Any]]
"""Of the seeds."""
Shown = Mapping[str, np.ndarray]
"""A picture of each class, by how it was drawn."""


def draw_plot(
    path: Path, records: Records, real: Mapping[str, float], shown: Shown, classes: Sequence[str]
) -> None:
    """Curves over the seeds above, samples below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7.4), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.25, 1])
    titles = {
        "right": "judged to be of their class",
        "diversity": "RMS between samples of a class, levels",
        "apart": "RMS to the nearest training picture, levels",
    }
    for axes, (key, title) in zip(top.subplots(1, 3), titles.items(), strict=True):
        for prefix, drawn, label in (
            ("", "cutoff", "all samples, cutoff 0.1"),
            ("kept ", "cutoff", f"the best {KEEP:.0%} of them by rejection"),
            ("", "no cutoff", "all samples, no cutoff"),
            ("", "average", "all samples, cutoff 0.1, averaged weights"),
        ):
            points = [[each["classes"][f"{drawn}, {w:g}"] for w in WEIGHTS] for each in records]
            values = np.array([[point[prefix + key] for point in row] for row in points])
            axes.errorbar(
                WEIGHTS,
                values.mean(axis=0),
                values.std(axis=0, ddof=1),
                marker="o",
                capsize=3,
                linestyle="-" if drawn == "cutoff" else ":",
                label=label,
            )
        axes.axhline(real[key], color="0.5", linestyle="--", label="real pictures")
        axes.set(xlabel="guidance weight", title=title)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    rows = {f"weight {weight:g}": shown[f"cutoff, {weight:g}"] for weight in SHOWN_WEIGHTS}
    rows |= {"real": shown["real"], "no class": shown["none"]}
    grid = bottom.subplots(len(rows), len(classes))
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, images, strict=True):
            axes.imshow(image, interpolation="nearest")
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, fontsize=7)
    for axes, name in zip(grid[0], classes, strict=True):
        axes.set_title(name, fontsize=8)
    figure.savefig(path, dpi=100)


def table(records: Records) -> str:
    """Means and standard deviations over the seeds."""

    def said(values: Sequence[float], form: str = ".1%") -> str:
        return f"{np.mean(values):{form}} ± {np.std(values, ddof=1):{form}}"

    measured = [name for name in DRAWN if f"{name}, {WEIGHTS[0]:g}" in records[0]["classes"]]
    kinds = [
        *((prefix, "cutoff", key) for key in ("right", "diversity", "apart") for prefix in PARTS),
        *(("", drawn, key) for drawn in measured[1:] for key in ("right", "apart")),
    ]
    heads = ["guidance weight", *(f"{drawn}: {part}{key}" for part, drawn, key in kinds)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for weight in WEIGHTS:
        own = {
            drawn: [each["classes"][f"{drawn}, {weight:g}"] for each in records]
            for drawn in measured
        }
        cells = [
            said([each[part + key] for each in own[drawn]], ".1%" if key == "right" else ".1f")
            for part, drawn, key in kinds
        ]
        lines.append(f"| {weight:g} | {' | '.join(cells)} |")
    distances = [record["nothing"] for record in records if "nothing" in record]
    if not distances:
        return "\n".join(lines)
    lines += ["", f"| Frechet distance, n = {distances[0]['n']} | |", "|---|---|"]
    for name in distances[0]:
        if name != "n":
            lines.append(f"| {name} | {said([each[name] for each in distances], '.1f')} |")
    return "\n".join(lines)
