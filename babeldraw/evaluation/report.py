"""`report.html`: what a run learned, in one file that opens anywhere (pictures embedded)."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image

from babeldraw.files import path
from babeldraw.training.watching.pictures import make_grid

Record = Mapping[str, Any]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; background: #fff }
table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: left }
td.n { text-align: right; font-variant-numeric: tabular-nums }
figure { display: inline-block; margin: 0 .8rem 1rem 0; vertical-align: top; width: 13rem }
figcaption { font-size: .85rem; color: #555 } img { max-width: 100%; image-rendering: pixelated }
.wrong figcaption { color: #b00020 }
"""


def read_metrics(model_dir: str | Path) -> list[Record]:
    """The records of a run's `metrics.jsonl`."""
    lines = (path(model_dir) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def curve(records: Sequence[Record], name: str, title: str) -> str:
    """A line plot of one metric over the steps, train and eval, as an `<img>`."""
    figure = matplotlib.figure.Figure(figsize=(4.6, 2.8), layout="constrained")
    axes = figure.subplots()
    for split in ("train", "eval"):
        points = [(r["step"], r[name]) for r in records if r["split"] == split and name in r]
        if points:
            axes.plot(*zip(*points, strict=True), label=split)
    axes.set(title=title, xlabel="step")
    axes.legend()
    return figure_image(figure)


def bars(values: Num[np.ndarray, "bars"], title: str, xlabel: str) -> str:
    """A bar plot as an `<img>`."""
    figure = matplotlib.figure.Figure(figsize=(4.6, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.bar(np.arange(len(values)), values, width=1.0)
    axes.set(title=title, xlabel=xlabel, yscale="log")
    return figure_image(figure)


def figure_image(figure: matplotlib.figure.Figure) -> str:
    """A matplotlib figure as an embedded `<img>`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return _image_tag(buffer.getvalue())


def picture(images: UInt8[np.ndarray, "rows columns height width 3"]) -> str:
    """A grid of pictures as an embedded `<img>`."""
    buffer = io.BytesIO()
    Image.fromarray(make_grid(images)).save(buffer, format="PNG")
    return _image_tag(buffer.getvalue())


def captioned(
    images: UInt8[np.ndarray, "rows columns height width 3"],
    captions: Sequence[str],
    right: Sequence[bool] | None = None,
) -> str:
    """One figure a row of `images`, with its caption; those not `right` are marked."""
    figures = []
    for index, (row, caption) in enumerate(zip(images, captions, strict=True)):
        wrong = right is not None and not right[index]
        figures.append(
            f'<figure class="{"wrong" if wrong else "right"}">{picture(row[None])}'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
    return "\n".join(figures)


def table(values: Mapping[str, Any]) -> str:
    """Names and values."""
    rows = "".join(
        f'<tr><td>{html.escape(name)}</td><td class="n">{html.escape(_show(value))}</td></tr>'
        for name, value in values.items()
    )
    return f"<table>{rows}</table>"


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """The whole document; each section is a heading and its HTML."""
    body = "\n".join(f"<h2>{html.escape(head)}</h2>\n{content}" for head, content in sections)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title>"
        f"<style>{_STYLE}</style>\n<h1>{html.escape(title)}</h1>\n{body}\n</html>\n"
    )


def _image_tag(png: bytes) -> str:
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _show(value: Any) -> str:
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"
