"""Metrics: from device scalars to the terminal, metrics.jsonl and TensorBoard."""

import json
import math
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
from etils import epath

from babeldraw.errors import UserError

Writer = Callable[[int, str, dict[str, float]], None]
"""`writer(step, split, values)`; `split` is `train` or `eval`."""

_STEPS_AHEAD = 2


class MetricWindow:
    """Metrics of the steps since the last log line. The device is not waited for at each step.

    Each step gives one vector, which stays on the device until `check` or `mean` fetches it.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        must_be_finite = [name.split("/")[-1] in ("loss", "grad_norm") for name in self.names]
        self._must_be_finite = np.array(must_be_finite)
        self._on_device: list[tuple[int, jax.Array]] = []
        self._on_host: list[np.ndarray] = []
        self._started = time.perf_counter()

    def add(self, step: int, values: jax.Array) -> None:
        """Takes `float32[len(names)]`, and keeps the host at most two steps ahead."""
        self._on_device.append((step, values))
        if len(self._on_device) > _STEPS_AHEAD:
            self._on_device[-1 - _STEPS_AHEAD][1].block_until_ready()

    def check(self) -> None:
        """Fetches all values.

        Raises:
          UserError: a loss or a gradient is not finite; names the first such step.
        """
        fetched = jax.device_get([values for _, values in self._on_device])
        for (step, _), values in zip(self._on_device, fetched, strict=True):
            bad = self._must_be_finite & ~np.isfinite(values)
            if bad.any():
                name = self.names[int(bad.argmax())]
                raise UserError(
                    f"Training stopped at step {step}, where {name} is {values[bad.argmax()]}: "
                    "lower the learning rate and run again, which goes on from the last "
                    "checkpoint, saved before that step."
                )
        self._on_host.extend(fetched)
        self._on_device.clear()

    def mean(self) -> dict[str, float]:
        """Means over the steps since the last call, and `seconds_per_step`."""
        self.check()
        values = np.stack(self._on_host).mean(axis=0, dtype=np.float64)
        seconds = (time.perf_counter() - self._started) / len(self._on_host)
        self._on_host.clear()
        self._started = time.perf_counter()
        return {"seconds_per_step": seconds, **dict(zip(self.names, values.tolist(), strict=True))}

    def exclude(self, seconds: float) -> None:
        """Leaves time that was not spent on training out of `seconds_per_step`."""
        self._started += seconds


class Terminal:
    """One line a record, as in `step 00050/20000 (0.2%) | loss 6.213 | lr 4.5e-05 | ...`."""

    def __init__(self, train_steps: int) -> None:
        self._train_steps = train_steps

    def __call__(self, step: int, split: str, values: dict[str, float]) -> None:
        """Prints the record."""
        print(log_line(step, self._train_steps, split, values), flush=True)


def log_line(step: int, train_steps: int, split: str, values: dict[str, float]) -> str:
    """The line of one record; of a training record losses, skipped updates, rate, speed, time."""
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
    skipped = [value for name, value in values.items() if name.split("/")[-1] == "skipped_updates"]
    if any(skipped):  # Means over the steps of a count that grows.
        parts.append(f"{sum(map(math.ceil, skipped))} updates skipped: gradients not finite")
    seconds = values["seconds_per_step"]
    parts += [
        f"lr {rates[0]:.1e}",
        f"{1000 * seconds:.0f} ms" if seconds >= 0.0995 else f"{1000 * seconds:.1f} ms",
        f"{values['images_per_second']:.1f} images/s",
        f"eta {duration((train_steps - step) * seconds)}",
    ]
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
        if path.exists():
            lines = path.read_text().splitlines()
            kept = [line for line in lines if _step_of(line) <= start_step]
            path.write_text("".join(line + "\n" for line in kept))

    def __call__(self, step: int, split: str, values: dict[str, float]) -> None:
        """Appends the record."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        record = {"step": step, "split": split, "time": round(time.time(), 3), **finite}
        with self._path.open("a") as file:
            file.write(json.dumps(record) + "\n")


def _step_of(line: str) -> float:
    """Of a record; infinite for a line that was cut short when the run was killed."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


class TensorBoard:
    """Scalars under model_dir/tensorboard."""

    def __init__(self, directory: epath.Path, start_step: int) -> None:
        import tensorboardX  # Only the writing process needs it.

        self._writer = tensorboardX.SummaryWriter(
            str(directory), purge_step=start_step + 1 if start_step else None
        )

    def __call__(self, step: int, split: str, values: dict[str, float]) -> None:
        """Adds the record's values."""
        for name, value in values.items():
            self._writer.add_scalar(f"{split}/{name}", value, step)
        self._writer.flush()
