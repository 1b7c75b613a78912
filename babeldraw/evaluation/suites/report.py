"""`report.json` and `prompts.jsonl` of a suite: every number, and everything that moves it.

All but `made`, which says when, where and how fast, is a function of the command: the same to the
last digit whenever it is given again. Numbers have six digits: beyond them the order of sums shows.
"""

import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

import babeldraw
from babeldraw import files
from babeldraw.evaluation.scores.base import Pictures, Score, ScoreResult
from babeldraw.evaluation.suites.drawing import Drawn, name_of
from babeldraw.evaluation.suites.entries import Suite
from babeldraw.evaluation.suites.folders import NAME, PROMPTS
from babeldraw.evaluation.suites.scoring import Results, Shown, by_kind, by_prompt

KINDS = ("category", "challenge")
_VERSIONS = ("jax", "jaxlib", "flax", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Of what computes."""
    found = {name: importlib.metadata.version(name) for name in _VERSIONS}
    return {"babeldraw": babeldraw.__version__, "python": platform.python_version(), **found}


def of_suite(suite: Suite) -> dict[str, Any]:
    """What a report says of the prompts."""
    return {
        "name": suite.name,
        "prompts": len(suite),
        "sha256": suite.digest,
        "notes": list(suite.notes),
    }


def of_references(name: str, pictures: Pictures | None, framing: str) -> dict[str, Any] | None:
    """What a report says of the real pictures; all of them are read."""
    if pictures is None:
        return None
    return {
        "set": name,
        "n": len(pictures),
        "framing": framing,
        "sha256_of_pixels": pictures.digest(),
    }


def of_scores(scores: Sequence[Score], results: Results) -> dict[str, Any]:
    """Numbers of each score with its settings."""
    settings = {score.name: dict(score.settings) for score in scores}
    return {
        name: {"settings": settings[name], "values": _values(values)}
        for name, values in results.items()
    }


def by_kinds(results: Results, shown: Shown) -> dict[str, Any]:
    """Numbers by category and by challenge, where there are several."""
    return {
        kind: {
            name: {score: _values(values) for score, values in each.items()}
            for name, each in by_kind(results, shown, kind).items()
        }
        for kind in KINDS
    }


def lines_of(drawn: Drawn, kept: Sequence[int], shown: Shown, results: Results) -> list[Any]:
    """A line of `prompts.jsonl` for each entry; `kept` are the places of the scored pictures."""
    means = {
        f"{score}: {name}": by_prompt(result.per_picture, shown)
        for score, values in results.items()
        for name, result in values.items()
        if result.per_picture is not None and len(result.per_picture) == len(shown.entries)
    }
    pictures: dict[int, list[str]] = {}
    for place in kept:
        job = drawn.jobs[place]
        pictures.setdefault(job.entry, []).append(name_of(drawn.suite, job, place))
    return [
        {
            "id": entry.id,
            "prompt": entry.prompt,
            "category": entry.category,
            "challenge": entry.challenge,
            "pictures": pictures.get(index, []),
            "scores": {name: rounded(values[index]) for name, values in means.items()},
        }
        for index, entry in enumerate(drawn.suite.entries)
    ]


def write(folder: epath.Path, report: Mapping[str, Any], prompts: Sequence[Any]) -> None:
    """Writes both files.

    Raises:
      UserError: one cannot be written.
    """
    with files.written_whole(folder / PROMPTS) as file:
        for line in prompts:
            file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())
    with files.written_whole(folder / NAME) as file:
        file.write((json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode())


def rounded(value: float) -> float | None:
    """To six digits; None for what is not finite, which JSON has not."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _values(values: Mapping[str, ScoreResult]) -> dict[str, Any]:
    return {
        name: {
            "value": rounded(result.value),
            "interval": result.interval and [rounded(end) for end in result.interval],
            "n": result.n,
            "is_mean": result.per_picture is not None,
            "warnings": list(result.warnings),
        }
        for name, result in values.items()
    }


def flat(scores: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """`SCORE: NUMBER` -> the number, of the `scores` of a report, which may be foreign.

    Each has a finite `value`, an `interval` of two numbers or None, `n` and `warnings`.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for score, each in scores.items():
        values = each.get("values") if isinstance(each, Mapping) else None
        for name, value in values.items() if isinstance(values, Mapping) else ():
            if isinstance(value, Mapping) and is_finite(value.get("value")):
                ends = value.get("interval")
                fits = isinstance(ends, list) and len(ends) == 2 and all(map(is_finite, ends))
                found[f"{score}: {name}"] = {
                    "value": value["value"],
                    "interval": ends if fits else None,
                    "n": value["n"] if isinstance(value.get("n"), int) else 0,
                    "warnings": [str(each) for each in value.get("warnings") or ()],
                }
    return found


def shown_value(value: Mapping[str, Any]) -> str:
    """A number of `flat` with its interval, for people."""
    if not value["interval"]:
        return f"{value['value']:.4g}"
    low, high = value["interval"]
    return f"{value['value']:.4g} ({low:.4g} to {high:.4g})"


def is_finite(value: Any) -> bool:
    """Whether it is a plain number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
