"""How many steps fit into some minutes: a short trial of the recipe on this machine tells.

The rule: the first `TRIAL_STEPS` steps are taken in a folder that is thrown away, with an
evaluation every `WINDOW` steps. The second and third window give the seconds of a step, and what is
between them those of an evaluation. A run of n steps is then expected to take as long to start and
compile its step as the trial took, n steps, and `LOOKS` evaluations. What the trial loaded in place
of compiling it counts as compiled: of the run's own step, whose learning rate knows n, nothing is
kept. n is the largest number, rounded down to two digits, for which that and the trial itself are
within the time, and is at least `LEAST_STEPS`. It is fixed before the run's first step.
"""

import contextlib
import dataclasses
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from babeldraw.cli.support import stage_recipes
from babeldraw.cli.support.recipes import train_recipe
from babeldraw.cli.support.stage_recipes import StageRecipe
from babeldraw.errors import Stopped

WINDOW = 10
TRIAL_STEPS = 3 * WINDOW
LOOKS = 8
LEAST_STEPS = 100


@dataclasses.dataclass(frozen=True)
class Pace:
    """What a recipe takes on a machine, in seconds.

    Attributes:
      start: from nothing to the first step, with all compiled anew.
      step: one step.
      look: one evaluation, with its pictures.
      trial: finding this out.
    """

    start: float
    step: float
    look: float
    trial: float

    def steps_in(self, seconds: float) -> int:
        """See above."""
        left = seconds - self.trial - self.start - LOOKS * self.look
        steps = max(int(left / self.step), LEAST_STEPS)
        digits = len(str(steps)) - 2
        unit: int = 10**digits
        return steps // unit * unit

    def needed(self, steps: int) -> float:
        """Seconds of so many steps, with all that comes before and between them."""
        return self.trial + self.start + LOOKS * self.look + steps * self.step

    def sentence(self, steps: int, seconds: float) -> str:
        """What was measured, and what follows."""
        needed = self.needed(steps)
        late = f", which takes {needed / 60:.1f}" if needed > seconds else ""
        return (
            f"{steps} steps in {seconds / 60:.1f} minutes{late}: a trial of {TRIAL_STEPS} steps "
            f"took {self.trial:.0f} s, a step {self.step:.3f} s, an evaluation {self.look:.1f} s, "
            f"starting {self.start:.0f} s"
        )


def measure(recipe: StageRecipe, config: Any) -> Pace:
    """Takes the trial's steps on the machine that `config` says."""
    began, clock = time.perf_counter(), time.time()
    temporary = tempfile.TemporaryDirectory(prefix="babeldraw-trial-")
    with _saved_by_kept_programs() as saved, temporary as folder:
        draft = Path(folder) / stage_recipes.NAME
        recipe.write(draft, "trial")
        every = [f"loop.train.{name}_every = {WINDOW}" for name in ("log", "eval", "pictures")]
        steps = f"loop.train.train_steps = {TRIAL_STEPS}"
        bindings = [*every, steps, f"MODEL_DIR = {folder!r}"]
        try:
            train_recipe([str(draft)], bindings, config)
        except Stopped as stopped:  # it names a folder that will not be there
            raise Stopped(
                "stopped in the trial; the same command begins it again",
                by_keyboard=stopped.by_keyboard,
            ) from None
        text = (Path(folder) / "metrics.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    return _pace(records, clock, time.perf_counter() - began, sum(saved))


@contextlib.contextmanager
def _saved_by_kept_programs() -> Iterator[list[float]]:
    """Seconds that compiling would have taken within, as programs are loaded."""
    from jax import monitoring

    saved: list[float] = []

    def listen(event: str, duration_secs: float, **unused: Any) -> None:
        if event == "/jax/compilation_cache/compile_time_saved_sec":
            saved.append(duration_secs)

    monitoring.register_event_duration_secs_listener(listen)
    try:
        yield saved
    finally:
        monitoring.unregister_event_duration_listener(listen)


def _pace(
    records: Sequence[dict[str, Any]], began: float, trial: float, saved: float = 0.0
) -> Pace:
    """Of the trial's metrics; `began` is their clock's time at its start."""
    windows = {r["step"]: r for r in records if r["split"] == "train"}
    first, second, third = (windows[number * WINDOW] for number in (1, 2, 3))
    step = (second["seconds_per_step"] + third["seconds_per_step"]) / 2
    between = third["time"] - second["time"]
    look = max(between - WINDOW * third["seconds_per_step"], 0.0)
    start = first["time"] - began - WINDOW * step + saved
    return Pace(max(start, 0.0), step, look, trial)
