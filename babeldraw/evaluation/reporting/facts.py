"""Where, when and with what a run was made, and what it cost."""

import datetime
import shlex
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from babeldraw.evaluation.reporting import findings
from babeldraw.evaluation.reporting.reading import Run, whole


def rows(run: Run) -> list[tuple[str, str]]:
    """Names and values of what is known; what is not is left out."""
    batch = whole(run.setting("train_dataset", "batch_size") or run.macros.get("BATCH_SIZE"))
    found = {
        "Stage": findings.TITLES[run.kind],
        "Data": findings.dataset(run),
        "Parameters trained": run.parameters,
        "Steps": f"{run.step:,}" + (f" of {run.train_steps:,}" if run.train_steps else ""),
        "Pictures a step": f"{batch:,}" if batch else "",
        "Passes over the data": _passes(run, batch),
        "Date": _dates(run.records),
        "Time in steps": _time(run),
        "Machine": _machine(run),
        "Seed": run.macros.get("SEED", ""),
        "Version": _version(run),
    }
    return [(name, value) for name, value in found.items() if value]


def command(run: Run) -> str:
    """The latest one that the run was started with, if it is known: a line an option."""
    said = _said(run, "command")
    try:
        words = shlex.split(said)
    except ValueError:  # a quote that nobody closes
        return said
    return " ".join(
        f"\\\n    {shlex.quote(word)}" if word.startswith("-") else shlex.quote(word)
        for word in words
    )


def seconds(run: Run) -> float:
    """That went into steps, without compiling, evaluating and saving."""
    return sum(count * each for count, each in _windows(run.records))


def _time(run: Run) -> str:
    windows = _windows(run.records)
    if not windows:
        return ""
    usual = statistics.median(each for _, each in windows)
    found = f"{duration(seconds(run))}, {1 / usual:,.3g} steps a second"
    rates = [record["images_per_second"] for record in run.records if _is_rate(record)]
    return found + (f", {statistics.median(rates):,.3g} pictures a second" if rates else "")


def _windows(records: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """(Steps, seconds a step) of each record of training."""
    found, before = [], 0
    for record in records:
        each = record.get("seconds_per_step")
        if record["split"] == "train" and isinstance(each, int | float) and each > 0:
            found.append((max(record["step"] - before, 0), float(each)))
            before = record["step"]
    return found


def _is_rate(record: Mapping[str, Any]) -> bool:
    return isinstance(record.get("images_per_second"), int | float)


def duration(value: float) -> str:
    """As "42 s", "12 min 5 s", "1 h 42 min" or "2 d 3 h"."""
    whole_seconds = round(value)
    sizes = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
    for size, unit, smaller, small_unit in sizes:
        if whole_seconds >= size:
            rest = whole_seconds % size // smaller
            return f"{whole_seconds // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{value:.2g} s" if value < 1 else f"{whole_seconds} s"


def _passes(run: Run, batch: int) -> str:
    data = run.manifest.get("data")
    pictures = whole(data.get("pictures")) if isinstance(data, Mapping) else 0
    return f"{run.step * batch / pictures:,.1f}" if pictures and batch else ""


def _dates(records: Sequence[Mapping[str, Any]]) -> str:
    found = [record.get("time") for record in records]
    times = [time for time in found if isinstance(time, int | float) and 0 < time < 1e11]
    if not times:
        return ""
    first, last = (
        datetime.datetime.fromtimestamp(time, datetime.UTC) for time in (min(times), max(times))
    )
    began = f"{first:%Y-%m-%d %H:%M}"
    ended = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return f"{began} UTC" if began.endswith(ended) else f"{began} to {ended} UTC"


def _machine(run: Run) -> str:
    name = str(run.machine.get("name") or "")
    start = run.starts[-1] if run.starts else {}
    count, kind, cores = whole(start.get("devices")), start.get("device"), whole(start.get("cores"))
    devices = f"{count:,} x {kind}" if count > 1 else str(kind or "")
    with_cores = f"{devices} with {cores} cores" if cores and devices else devices
    file = f"machine file {name}" if name else ""
    return ", ".join(part for part in (with_cores, file) if part)


def _version(run: Run) -> str:
    version = _said(run, "babeldraw") or str(run.manifest.get("babeldraw") or "")
    commit = _said(run, "commit")
    return f"Babeldraw {version}" + (f", commit {commit}" if commit else "") if version else ""


def _said(run: Run, name: str) -> str:
    return str(run.starts[-1].get(name) or "") if run.starts else ""
