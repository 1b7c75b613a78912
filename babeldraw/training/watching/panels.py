"""What is drawn of a run's metrics: which curves, in the order in which one reads them.

First the losses, then what the prompt is worth, then scores, then terms of the losses; last how the
machine did. What is 0 throughout is left out.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Points = list[tuple[int, float]]
"""Step and value."""

Series = dict[str, dict[str, Points]]
"""Metric -> split (`train`, `eval` or `seen`) -> points."""

SPLITS = {"train": "training", "eval": "held out", "seen": "seen", "suite": "suite"}
"""As people call them: of each step, of pictures that are not trained on, of some that are."""

GAP = "prompt_gap"
"""What an empty prompt costs: the loss without the prompt less the loss with it."""

CLASS_GAP = "class_gap"
"""What it costs not to know the class."""

_COMPANIONS = {
    "loss_without_prompt": "loss",
    "loss_without_class": "loss",
    "bilinear_psnr": "psnr",
}
"""Metrics that are drawn beside another one, because the distance is what counts."""

_TITLES = {
    "loss": "Loss (lower is better)",
    "loss_without_prompt": "without the prompt",
    "loss_without_class": "without the class",
    GAP: "Prompt gap in nats a token (higher is better)",
    CLASS_GAP: "Class gap in nats a token (higher is better)",
    "right": "Share of drawings nearest to their real picture",
    "psnr": "PSNR in dB (higher is better)",
    "bilinear_psnr": "bilinear",
    "codebook_usage": "Share of the codes in use",
    "perplexity": "Perplexity of the codebook, in codes",
    "image_to_text": "Share of pictures that find their caption",
    "text_to_image": "Share of captions that find their picture",
    "caption_accuracy": "Share of caption tokens guessed right",
    "masked": "Loss of hidden text tokens",
    "masked_accuracy": "Share of hidden text tokens guessed right",
    "contrastive": "Contrastive loss",
    "captioning": "Captioning loss",
    "l2": "Mean square error",
    "vq": "Vector-quantization term",
    "logit_laplace": "Logit-Laplace term",
    "perceptual": "Perceptual term",
    "adversarial": "Adversarial term",
    "real_accuracy": "Discriminator right on real pictures, share",
    "made_accuracy": "Discriminator right on made pictures, share",
    "learning_rate": "Learning rate",
    "grad_norm": "Norm of the gradient",
    "images_per_second": "Pictures a second",
    "seconds_per_step": "Seconds a step",
    "goodput": "Share of the time that went into steps",
    "mfu": "Model FLOPs utilisation, share",
    "skipped_steps": "Skipped steps",
    "slowest_host": "Slowest host",
    "slowest_host_wait": "Wait of the slowest host for data, in seconds",
}
_ORDER = {name: index for index, name in enumerate(_TITLES)}
_MACHINE = list(_TITLES)[list(_TITLES).index("learning_rate") :]

_LARGEST = 1e300
"""What a file may say and an axis take."""


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
      label: for the legend.
      split: `train`, `eval`, `seen`, or another one that a record names.
      slot: which colour; the same run, or of one run the same split, has the same one everywhere.
      plain: whether it is what the others are compared with, and no result.
    """

    label: str
    split: str
    slot: int
    points: Points
    plain: bool = False


class Panel(NamedTuple):
    """Curves on the same axes."""

    name: str
    title: str
    lines: list[Line]
    is_machine: bool
    """Whether it tells how the machine did, not what was learned."""


def series_of(records: Iterable[Mapping[str, Any]]) -> Series:
    """Of `parse_records`. Values that are not finite are null there and missing here."""
    series: Series = {}
    for record in records:
        for name, value in record.items():
            if name not in ("step", "time") and _is_finite(value):
                points = series.setdefault(name, {}).setdefault(str(record["split"]), [])
                points.append((record["step"], float(value)))
    return series


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < _LARGEST


def parse_records(text: str) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl that are ours: a kill may have cut one short."""
    records = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        step = record.get("step") if isinstance(record, dict) else None
        if isinstance(step, int) and 0 <= step < 2**53 and "split" in record:
            records.append(record)
    return records


def gap_of(series: Series) -> Points:
    """The prompt gap on held-out pictures: as recorded, or the difference of the two losses."""
    recorded = series.get(GAP, {}).get("eval")
    if recorded:
        return recorded
    without = dict(series.get("loss_without_prompt", {}).get("eval", []))
    losses = series.get("loss", {}).get("eval", [])
    return [(step, without[step] - loss) for step, loss in losses if step in without]


def panels(runs: Mapping[str, Series]) -> tuple[list[Panel], list[str]]:
    """The panels of one run, or of several on the same axes; and the names of what is left out.

    Args:
      runs: label -> metrics. Of several, each has its colour; of one, each split has.
    """
    runs = {label: _with_gap(series) for label, series in runs.items()}
    names = sorted({name for series in runs.values() for name in series}, key=_place)
    zero = [name for name in names if _is_zero(runs.values(), name)]
    drawn = []
    for name in names:
        if name in zero or _companion_of(name, names):
            continue
        together = [name, *(other for other in names if _companion_of(other, names) == name)]
        lines = [
            line
            for index, (label, series) in enumerate(runs.items())
            for metric in together
            for line in _lines(series.get(metric, {}), metric, index, label, len(runs) > 1)
        ]
        drawn.append(Panel(name, title(name), lines, _bare(name) in _MACHINE))
    return drawn, zero


def title(name: str) -> str:
    """Of a metric as people call it; of an unknown one its name. `player/metric` names both."""
    player, _, bare = name.rpartition("/")
    known = _TITLES.get(bare, bare)
    return f"{player}: {known}" if player else known


def _lines(
    splits: Mapping[str, Points], metric: str, index: int, label: str, several: bool
) -> Iterable[Line]:
    known = list(SPLITS)
    for split in [*(each for each in known if each in splits), *sorted({*splits} - {*known})]:
        name = SPLITS.get(split, split)
        plain = _bare(metric) in _COMPANIONS
        if plain and split == "seen":
            continue
        if plain:
            name = f"{name}, {title(metric)}"
        slot = index if several else (4 if plain else known.index(split) if split in known else 3)
        yield Line(f"{label}: {name}" if several else name, split, slot, splits[split], plain)


def _with_gap(series: Series) -> Series:
    gap = gap_of(series)
    return {**series, GAP: {**series.get(GAP, {}), "eval": gap}} if gap else series


def _is_zero(runs: Iterable[Series], name: str) -> bool:
    return not any(
        value for series in runs for points in series.get(name, {}).values() for _, value in points
    )


def _companion_of(name: str, names: Sequence[str]) -> str | None:
    player, slash, bare = name.rpartition("/")
    other = f"{player}{slash}{_COMPANIONS.get(bare)}"
    return other if other in names else None


def _bare(name: str) -> str:
    return name.rpartition("/")[2]


def _place(name: str) -> tuple[int, str]:
    """Unknown metrics come after the known ones that tell what was learned."""
    unknown = _ORDER["learning_rate"] - 0.5
    return int(2 * _ORDER.get(_bare(name), unknown)), name
