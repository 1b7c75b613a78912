"""A panel of curves as strokes, dots and words at their places, whatever draws them.

Places are in units of which the panel is `WIDTH` wide and `HEIGHT` high, from its upper left.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

from babeldraw.training.watching.panels import Line, Panel, Points

WIDTH, HEIGHT = 320, 220

FONT = 12
"""Size of words."""
LETTER = 0.56 * FONT
"""Width of a letter, on average: of a legend's entries the places are told before their font."""

_OF_SPLITS = ("c0", "c1", "c6", "c4", "c3")
_OF_RUNS = ("c0", "c1", "c2", "c4", "c5", "c6")
_MOST_POINTS = 300
_TICKS = 5
_NOTHING = 1e-280
"""Smaller values are as good as 0, and their logarithms are not."""

Place = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Stroke:
    """A line through places; `colour` is a name, as of all of these."""

    places: Sequence[Place]
    colour: str
    width: float = 1.0
    dash: tuple[float, float] | None = None
    opacity: float = 1.0


@dataclasses.dataclass(frozen=True)
class Dots:
    """A dot at each place."""

    places: Sequence[Place]
    colour: str
    radius: float


@dataclasses.dataclass(frozen=True)
class Words:
    """A line of text whose baseline begins, is centred, or ends at a place."""

    place: Place
    text: str
    colour: str
    anchor: str = "start"


Mark = Stroke | Dots | Words


@dataclasses.dataclass(frozen=True)
class Axis:
    """From values to places; `places` of the lowest and the highest value."""

    low: float
    high: float
    places: tuple[float, float]
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        value, low, high = map(self._scaled, (value, self.low, self.high))
        begin, end = self.places
        return begin + (end - begin) * (value - low) / (high - low)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def ticks(self) -> list[float]:
        """Round values within it, at most five or so."""
        if not self.logarithmic:
            return _round_values(self.low, self.high)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        apart = math.ceil(len(powers) / _TICKS)
        factors = (1, 2, 5) if len(powers) <= 2 else (1,)
        found = [factor * 10.0**power for power in powers[::apart] for factor in factors]
        return [value for value in found if self.low <= value <= self.high]


def marks(panel: Panel, *, several: bool = False, changes: Iterable[int] = ()) -> list[Mark]:
    """What is drawn of a panel.

    Args:
      several: the colours are those of runs, and the legend is elsewhere.
      changes: steps of upright lines.
    """
    legend = [] if several or len(panel.lines) < 2 else _legend(panel.lines)
    top = 12 + 1.5 * FONT * len({mark.place[1] for mark in legend if isinstance(mark, Words)})
    lines = [dataclasses.replace(line, points=thinned(line.points)) for line in panel.lines]
    values = [value for line in lines for _, value in line.points]
    low, high, logarithmic = _range(values)
    y = Axis(low, high, (HEIGHT - 3.1 * FONT, top), logarithmic)
    names = [(value, said(value, y.ticks())) for value in y.ticks()]
    left = 10 + LETTER * max((len(name) for _, name in names), default=0)
    steps = [step for line in lines for step, _ in line.points]
    x = Axis(min(steps), max(max(steps), min(steps) + 1), (left + 4, WIDTH - 14))
    return [
        *_grid(x, y, names, left),
        *_changes(x, y, changes),
        *legend,
        *(mark for line in lines for mark in _curve(line, x, y, several)),
    ]


def _grid(x: Axis, y: Axis, names: Sequence[tuple[float, str]], left: float) -> list[Mark]:
    bottom = y.places[0]
    found: list[Mark] = []
    for value, name in names:
        found.append(Stroke([(left, y(value)), (WIDTH - 8, y(value))], "rule"))
        found.append(Words((left - 6, y(value) + FONT / 3), name, "soft", "end"))
    steps = [step for step in x.ticks() if step == int(step)]
    for step in steps:
        near_edge = x(step) > WIDTH - 24
        place = (min(x(step), WIDTH - 4), bottom + 1.5 * FONT)
        found.append(Words(place, said(step, steps), "soft", "end" if near_edge else "middle"))
    middle = (sum(x.places) / 2, bottom + 2.8 * FONT)
    return [*found, Words(middle, "step", "soft", "middle")]


def _changes(x: Axis, y: Axis, changes: Iterable[int]) -> list[Mark]:
    within = [step for step in changes if x.low <= step <= x.high]
    return [Stroke([(x(step), place) for place in y.places], "ink", 1.0, (2, 3)) for step in within]


def _curve(line: Line, x: Axis, y: Axis, several: bool) -> list[Mark]:
    """Training as a line alone, and thin beside other runs; the others with a dot a point."""
    colour = _colour(line, several)
    places = [(x(step), y(value)) for step, value in line.points]
    thin = several and line.split == "train"
    dash = _dash(line)
    stroke = Stroke(places, colour, 1.2 if thin else 2.0, dash, 0.6 if thin else 1.0)
    return [stroke] if line.split == "train" else [stroke, Dots(places, colour, 2.4)]


def _legend(lines: Sequence[Line]) -> list[Mark]:
    """Above the curves, in as many rows as it takes."""
    found: list[Mark] = []
    left, baseline = 10.0, 4.0 + FONT
    for line in lines:
        width = 24 + LETTER * len(line.label)
        if left > 10 and left + width > WIDTH:
            left, baseline = 10.0, baseline + 1.5 * FONT
        middle = baseline - FONT / 3
        places = [(left, middle), (left + 18, middle)]
        found.append(Stroke(places, _colour(line, False), 2.0, _dash(line)))
        found.append(Words((left + 24, baseline), line.label, "ink"))
        left += width + 16
    return found


def _dash(line: Line) -> tuple[float, float] | None:
    """Curves are told apart without their colours, too."""
    return (5.0, 4.0) if line.plain else (1.5, 2.5) if line.split == "seen" else None


def colour_of_run(index: int) -> str:
    """The name of the colour of a run among several."""
    return _OF_RUNS[index % len(_OF_RUNS)]


def _colour(line: Line, several: bool) -> str:
    return colour_of_run(line.slot) if several else _OF_SPLITS[line.slot]


def thinned(points: Points) -> Points:
    """At most 300: means of as many neighbours as it takes, each at the last one's step."""
    size = math.ceil(len(points) / _MOST_POINTS)
    parts = (points[start : start + size] for start in range(0, len(points), size))
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def said(value: float, among: Sequence[float]) -> str:
    """A tick's value with as many digits as tell it from the others."""
    largest = max(map(abs, among), default=0)
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if 10 * size <= largest < 1e12 or (unit == "M" and 1e6 <= largest < 1e7):
            return f"{value / size:.10g}{unit}" if value else "0"
    if largest >= 1e12 or 0 < largest < 1e-3:
        return f"{value:.2g}"
    return f"{round(value, 6):,.10g}"


def _range(values: Sequence[float]) -> tuple[float, float, bool]:
    """Of an axis, with some room; logarithmic where few large values would hide the others."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    if low > _NOTHING and high > 20 * ordered[len(ordered) // 2]:
        return low / 1.1, high * 1.1, True
    largest = max(abs(low), abs(high))
    if largest < _NOTHING:
        return -1.0, 1.0, False
    room = 0.06 * (high - low) if high - low > 1e-9 * largest else 0.1 * largest
    return low - room, high + room, False


def _round_values(low: float, high: float) -> list[float]:
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    apart = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.ceil(low / apart), math.floor(high / apart)
    return [count * apart for count in range(first, last + 1)]
