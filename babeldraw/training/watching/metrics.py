"""Metrics: one log line, and a line of metrics.jsonl; see also trackers.py."""

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import UInt8

from babeldraw.files import is_remote
from babeldraw.training.step import SPIKES

Writer = Callable[[int, str, dict[str, float]], None]
"""`writer(step, split, values)`; `split` is `train`, `eval` (held out) or `seen`."""

PictureWriter = Callable[[int, str, UInt8[np.ndarray, "height width 3"]], None]
"""`writer(step, name, picture)`."""


class Terminal:
    """One line a record, as in `step 00050/20000 (0.2%) | loss 6.213 | lr 4.5e-05 | ...`."""

    def __init__(self, train_steps: int) -> None:
        self._train_steps = train_steps

    def __call__(self, step: int, split: str, values: dict[str, float]) -> None:
        """Prints the record."""
        print(log_line(step, self._train_steps, split, values), flush=True)


def log_line(step: int, train_steps: int, split: str, values: dict[str, float]) -> str:
    """The line of one record; of a training record losses, skipped steps, rate, speed, time."""
    width = len(str(train_steps))
    parts = [f"step {step:0{width}d}/{train_steps} ({100 * step / train_steps:.1f}%)"]
    if split != "train":
        parts += [split, *(f"{name} {value:.4g}" for name, value in values.items())]
        return " | ".join(parts)
    losses = {name: value for name, value in values.items() if name.split("/")[-1] == "loss"}
    rates = [value for name, value in values.items() if name.split("/")[-1] == "learning_rate"]
    parts += [f"{name} {value:.3f}" for name, value in losses.items()]
    for (
        name,
        value,
    ) in values.items():  # Both near 100%: the discriminator wins, and teaches little.
        if name.split("/")[-1] in ("real_accuracy", "made_accuracy"):
            parts.append(f"{name} {value:.0%}")
    if values.get("skipped_steps"):
        spikes = any(value for name, value in values.items() if name.split("/")[-1] == SPIKES)
        why = "not finite, or a spike" if spikes else "not finite"
        parts.append(f"{values['skipped_steps']:.0f} steps skipped: loss or gradient {why}")
    seconds = values["seconds_per_step"]
    parts += [
        f"lr {rates[0]:.1e}",
        f"{1000 * seconds:.0f} ms" if seconds >= 0.0995 else f"{1000 * seconds:.1f} ms",
        f"{values['images_per_second']:.1f} images/s",
    ]
    if "mfu" in values:
        parts.append(f"mfu {values['mfu']:.1%}")
    if "goodput" in values:
        parts.append(f"goodput {values['goodput']:.0%}")
    parts.append(f"eta {duration((train_steps - step) * seconds)}")
    return " | ".join(parts)


def duration(seconds: float) -> str:
    """`42s`, `12m05s`, `1h42m` or `2d03h`."""
    whole = int(seconds)
    for size, unit, small, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // small:02d}{small_unit}"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


class JsonLines:
    """metrics.jsonl: `{"step", "split", "time", name: value, ...}` a line.

    A value that is not finite is written as null. Records past `start_step` are of steps that
    will be taken again: they are dropped.
    """

    def __init__(self, path: epath.Path, start_step: int) -> None:
        self._path = path
        keep_until(path, start_step)

    def __call__(self, step: int, split: str, values: dict[str, float]) -> None:
        """Appends the record."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        append(self._path, {"step": step, "split": split, "time": round(time.time(), 3), **finite})


def append(path: epath.Path, record: Mapping[str, Any]) -> None:
    """Adds a line to a file of JSON objects, which need not be there."""
    line = json.dumps(record) + "\n"
    if is_remote(path):  # An object has no end to write to: some clients would replace it by this.
        before = path.read_text() if path.exists() else ""
        path.write_text(before + line)
    else:
        with path.open("a") as file:
            file.write(line)


def keep_until(path: epath.Path, start_step: int) -> None:
    """Drops the records of later steps from a file of JSON objects, which need not be there."""
    if path.exists():
        lines = path.read_text().splitlines()
        kept = [line for line in lines if _step_of(line) <= start_step]
        if kept != lines:  # Under another name first: a kill here must not lose the history.
            other = path.parent / f"{path.name}.new"
            other.write_text("".join(line + "\n" for line in kept))
            other.replace(path)


def _step_of(line: str) -> float:
    """Of a record; infinite for a line that was cut short when the run was killed."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
