"""Several runs of one stage side by side: in which settings they differ, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from babeldraw.evaluation.reporting import facts
from babeldraw.evaluation.reporting.reading import Run
from babeldraw.training.watching.panels import GAP, gap_of, title

NOT_SET = "not set"

_SCORES = (
    *("loss", GAP, "psnr", "bilinear_psnr", "codebook_usage", "perplexity"),
    *("image_to_text", "text_to_image", "caption_accuracy"),
)
_RECIPE_ALONE = ("TRAIN_STEPS", "SEED", "EVAL_EVERY", "LOG_EVERY")
"""Macros that are no part of the objective or the data, and so are not in settings.json."""


def settings(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """A row for each setting that is not the same everywhere: its name, and its value in each."""
    known = all(run.settings for run in runs)
    flat = [_with_settings(run) if known else _of_recipe(run) for run in runs]
    names = list(dict.fromkeys(name for values in flat for name in values))
    rows = [(name, *(values.get(name, NOT_SET) for values in flat)) for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def scores(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """A row for each score that any of them has: its name and the last value, held out."""
    found = []
    for name in _SCORES:
        values = [_last_gap(run) if name == GAP else run.last(name) for run in runs]
        if any(value is not None for value in values):
            shown = ("" if value is None else f"{value:.3g}" for value in values)
            found.append((title(name), *shown))
    found.append(("Step", *(f"{run.step:,}" for run in runs)))
    found.append(("Time in steps", *(facts.duration(facts.seconds(run)) for run in runs)))
    return found


def _last_gap(run: Run) -> float | None:
    gap = gap_of(run.series)
    return gap[-1][1] if gap else None


def _of_recipe(run: Run) -> dict[str, str]:
    others = {name: value for name, value in run.macros.items() if name != "MODEL_DIR"}
    return {**others, "machine file": str(run.machine.get("name", NOT_SET))}


def _with_settings(run: Run) -> dict[str, str]:
    """By their place, as in "optimizer.learning_rate.peak"; execution is the machine's."""
    found = {name: run.macros[name] for name in _RECIPE_ALONE if name in run.macros}
    for part in ("objective", "train_dataset", "eval_dataset"):
        found |= _flat(run.settings.get(part), "" if part == "objective" else part)
    return {**found, "machine file": str(run.machine.get("name", NOT_SET))}


def _flat(value: Any, place: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {place: str(value)}
    found: dict[str, str] = {}
    for name, item in value.items():
        if name == "class":
            found[f"{place} (class)".strip()] = str(item).rpartition(".")[2]
        elif name != "execution":
            found |= _flat(item, f"{place}.{name}" if place else name)
    return found
