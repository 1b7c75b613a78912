"""What was compiled, kept: a line of JSON a trial, so that an interrupted search goes on."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable
from typing import Any

from babeldraw.files import cache_dir
from babeldraw.planning.layouts import Layout
from babeldraw.planning.plan import Plan


@dataclasses.dataclass(frozen=True)
class Trial:
    """A layout, compiled.

    Attributes:
      seconds: that it took to compile.
      step_seconds, mfu: estimates; None where they are not known.
      bound: what holds the step: compute, HBM or links.
      memory: seconds of HBM traffic.
      refused: why it cannot be built, "" where it was.
    """

    layout: Layout
    seconds: float
    fits: bool = False
    peak_gib: float = 0.0
    step_seconds: float | None = None
    mfu: float | None = None
    bound: str = ""
    memory: float = 0.0
    refused: str = ""

    @classmethod
    def of(cls, layout: Layout, plan: Plan) -> "Trial":
        """What a plan found."""
        line = plan.roofline
        return cls(
            layout,
            plan.train.compile_seconds,
            fits=plan.train_fits,
            peak_gib=plan.peak_hbm_gib,
            step_seconds=plan.estimated_step_seconds,
            mfu=plan.estimated_mfu,
            bound=line.bound if line else "",
            memory=line.memory if line else 0.0,
        )

    @property
    def rank(self) -> tuple[bool, float, float]:
        """The best first: what fits, then the fastest, then the smallest."""
        seconds = float("inf") if self.step_seconds is None else self.step_seconds
        return not self.fits, seconds, self.peak_gib


class TrialFile:
    """Trials of one question, on disk."""

    def __init__(self, question: Any, folder: pathlib.Path | None = None) -> None:
        """`question`: all that a trial's figures depend on beside its layout, as JSON."""
        text = json.dumps(question, sort_keys=True, default=str)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path = (folder or cache_dir() / "plans") / f"{key}.jsonl"
        self._question = question

    def read(self) -> list[Trial]:
        """Those that were compiled before. A line that was cut short is left out."""
        if not self.path.is_file():
            return []
        return list(_parse(self.path.read_text().splitlines()[1:]))

    def add(self, trial: Trial) -> None:
        """Appends one.

        Raises:
          OSError: the folder cannot be written.
        """
        if not self.path.exists():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self._question, default=str) + "\n")
        with self.path.open("a") as file:
            file.write(json.dumps(dataclasses.asdict(trial)) + "\n")


def _parse(lines: Iterable[str]) -> Iterable[Trial]:
    for line in lines:
        try:
            fields = json.loads(line)
            yield Trial(Layout(**fields.pop("layout")), **fields)
        except (ValueError, TypeError, KeyError):
            continue
