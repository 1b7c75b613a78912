"""A run's metrics as curves: curves.png beside them, and drawings that a page holds.

Both show the same marks in the same colours. In a drawing for a page each colour is a CSS variable,
which the page sets for light and for dark.
"""

import html
import io
import math
from collections.abc import Iterable, Iterator, Sequence

from etils import epath
from PIL import Image, ImageDraw, ImageFont

from babeldraw.training.watching import chart
from babeldraw.training.watching.chart import Dots, Mark, Place, Stroke, Words
from babeldraw.training.watching.panels import Panel, Series, panels, parse_records, series_of

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
"""Name -> colour on a light page. Of one run c0 is training, c1 held out, c6 seen."""

_COLUMNS = 3
_FINE = 3
"""Pixels are drawn so many times smaller, and then averaged: Pillow draws no smooth lines."""
_TITLE = 2 * chart.FONT
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def write_curves(metrics: epath.Path, path: epath.Path) -> None:
    """Draws the metrics of a metrics.jsonl over the steps: training and evaluation together.

    Args:
      metrics: what `metrics.JsonLines` wrote.
      path: the PNG file to write; none where there are no metrics.
    """
    drawn, _ = panels({"": read_series(metrics)})
    if not drawn:
        return
    width, height = chart.WIDTH + 20, chart.HEIGHT + _TITLE + 16
    rows = math.ceil(len(drawn) / _COLUMNS)
    sheet = Image.new("RGB", (width * min(len(drawn), _COLUMNS), height * rows), "#ffffff")
    for index, panel in enumerate(drawn):
        row, column = divmod(index, _COLUMNS)
        sheet.paste(_to_image(panel), (column * width + 10, row * height + 8))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    path.write_bytes(buffer.getvalue())


def read_series(metrics: epath.Path) -> Series:
    """Metric -> split -> points, see `panels.series_of`."""
    return series_of(parse_records(metrics.read_text()))


def to_svg(panel: Panel, label: str, *, several: bool = False, changes: Iterable[int] = ()) -> str:
    """The panel as an `<svg>` element that stands in a page.

    Args:
      label: what the picture shows, for those who do not see it.
      several, changes: see `chart.marks`.
    """
    found = chart.marks(panel, several=several, changes=changes)
    return (
        f'<svg class="curve" role="img" aria-label="{html.escape(label)}" '
        f'viewBox="0 0 {chart.WIDTH} {chart.HEIGHT}" font-size="{chart.FONT}">'
        f"{''.join(map(_element, found))}</svg>"
    )


def _element(mark: Mark) -> str:
    colour = f"var(--{mark.colour})"
    if isinstance(mark, Words):
        x, y = mark.place
        return (
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{mark.anchor}" style="fill:{colour}">'
            f"{html.escape(mark.text)}</text>"
        )
    if isinstance(mark, Dots):
        return "".join(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{mark.radius}" style="fill:{colour}"/>'
            for x, y in mark.places
        )
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in mark.places)
    dash = f' stroke-dasharray="{mark.dash[0]} {mark.dash[1]}"' if mark.dash else ""
    return (
        f'<path d="{path}" fill="none" stroke-width="{mark.width}" stroke-linejoin="round"{dash} '
        f'style="stroke:{colour};opacity:{mark.opacity}"/>'
    )


def _to_image(panel: Panel) -> Image.Image:
    """The panel with its title above."""
    size = (chart.WIDTH, chart.HEIGHT + _TITLE)
    image = Image.new("RGB", (size[0] * _FINE, size[1] * _FINE), "#ffffff")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(chart.FONT * _FINE)
    title = Words((10, chart.FONT - _TITLE), panel.title, "ink")
    for mark in (title, *chart.marks(panel)):
        _draw(draw, mark, font)
    return image.resize(size, Image.Resampling.BOX)


def _draw(
    draw: ImageDraw.ImageDraw, mark: Mark, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    colour = COLOURS[mark.colour]
    if isinstance(mark, Words):
        anchor = _ANCHORS[mark.anchor]
        draw.text(_fine(mark.place), mark.text, fill=colour, font=font, anchor=anchor)
    elif isinstance(mark, Dots):
        for place in mark.places:
            draw.circle(_fine(place), mark.radius * _FINE, fill=colour)
    else:
        for part in _dashes(mark):
            places = [_fine(place) for place in part]
            draw.line(places, fill=colour, width=round(mark.width * _FINE), joint="curve")


def _fine(place: Place) -> Place:
    return place[0] * _FINE, (place[1] + _TITLE) * _FINE


def _dashes(stroke: Stroke) -> Iterator[Sequence[Place]]:
    """The stroke, or its dashes."""
    if stroke.dash is None:
        yield stroke.places
        return
    drawn, left_out = stroke.dash
    for (x, y), (to_x, to_y) in zip(stroke.places, stroke.places[1:], strict=False):
        length = math.hypot(to_x - x, to_y - y)
        count = max(1, round(length / (drawn + left_out)))
        for number in range(count):
            begin, end = number / count, (number + drawn / (drawn + left_out)) / count
            yield [(x + share * (to_x - x), y + share * (to_y - y)) for share in (begin, end)]
