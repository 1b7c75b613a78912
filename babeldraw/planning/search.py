"""The fastest layout of a recipe on a slice: ruled out by arithmetic, compiled, ranked."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Sequence

from babeldraw.parallel.execution import Remat
from babeldraw.planning.layouts import Layout, values
from babeldraw.planning.plan import Progress
from babeldraw.planning.reckoning import Reckoned
from babeldraw.planning.trials import Trial

TryLayout = Callable[[Layout], Trial]

_PATHS = values("attention")


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search knows at its end.

    Attributes:
      trials: compiled now or before, the best first.
      too_large: layouts that cannot fit, by arithmetic or because less did not.
      slower: layouts that cannot be as fast as the best.
      untried: layouts that the time did not reach.
    """

    trials: list[Trial]
    too_large: int
    slower: int
    untried: int

    @property
    def fitting(self) -> list[Trial]:
        """Those that may be used, the best first."""
        return [trial for trial in self.trials if trial.fits]


def search(
    reckoned: Iterable[Reckoned],
    available_gib: float,
    try_layout: TryLayout,
    *,
    known: Iterable[Trial] = (),
    minutes: float = 30.0,
    progress: Progress = lambda text: None,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Compiles layouts, the most promising first, until the time is over or none may be better.

    Args:
      available_gib: of one device.
      try_layout: compiles one.
      known: trials of an earlier search of the same.
      minutes: looked at between trials: the last one may end after them.
    """
    asked = list(reckoned)
    rows = [row for row in asked if row.gib <= available_gib]
    layouts = {row.layout for row in rows}
    trials = {trial.layout: trial for trial in known if trial.layout in layouts}
    if trials:
        progress(f"{len(trials)} trials of an earlier search are known\n")
    began, number = clock(), len(trials)
    while True:
        left = [row for row in rows if row.layout not in trials]
        small = [row for row in left if not _less_did_not_fit(row.layout, trials.values())]
        best = min(trials.values(), key=lambda trial: trial.rank, default=None)
        hopeful = [row for row in small if best is None or not _must_be_slower(row, best)]
        spent = (clock() - began) / 60
        if not hopeful or spent >= minutes:
            break
        seen = [(row, trials[row.layout]) for row in rows if row.layout in trials]
        row = min(hopeful, key=lambda row: _promise(row, seen, available_gib))
        number += 1
        progress(f"[{number}] {row.layout.name}: ")
        trial = trials[row.layout] = try_layout(row.layout)
        spent = (clock() - began) / 60
        progress(f"{outcome(trial)} ({trial.seconds:.0f} s; {spent:.0f} of {minutes:g} minutes)\n")
    return Found(
        trials=sorted(trials.values(), key=lambda trial: trial.rank),
        too_large=len(asked) - len(rows) + len(left) - len(small),
        slower=len(small) - len(hopeful),
        untried=len(hopeful),
    )


def _promise(
    row: Reckoned, trials: Sequence[tuple[Reckoned, Trial]], available_gib: float
) -> tuple[float, ...]:
    """The order of trials: what should fit, by the time that is expected, the plainest of equals.

    Trials teach how much more memory than reckoned is needed where as much is recomputed, what
    attention of a path moves to and from HBM (in pipelines or not), and how much longer than
    expected a mesh takes.
    """
    layout = row.layout
    growth = min(
        (t.peak_gib / r.gib for r, t in trials if t.peak_gib and r.layout.remat == layout.remat),
        default=1.0,
    )

    def kind(of: Layout) -> tuple[str, bool]:
        return of.attention, of.stage > 1

    alike = [pair for pair in trials if kind(pair[1].layout) == kind(layout)]
    memory = min((trial.memory for _, trial in alike if trial.memory), default=0.0)
    delay = min(
        (
            trial.step_seconds / known.expected_seconds(memory)
            for known, trial in alike
            if trial.step_seconds and known.layout.mesh == layout.mesh
        ),
        default=1.0,
    )
    seconds = delay * row.expected_seconds(memory)
    return (
        growth * row.gib > available_gib,
        round(math.log(max(seconds, 1e-9), 1.1)),  # what is expected is not known to a tenth
        layout.stage > 1,  # compiles the longest
        seconds,
        row.gib,
        _PATHS.index(layout.attention),  # the machine's default first
    )


def _must_be_slower(row: Reckoned, best: Trial) -> bool:
    return best.fits and best.step_seconds is not None and row.least_seconds >= best.step_seconds


def _less_did_not_fit(layout: Layout, trials: Iterable[Trial]) -> bool:
    """Whether the same layout was too large, or cannot be built, while it kept less."""
    remats: tuple[Remat, ...] = values("remat")  # from what keeps all to what keeps least
    return any(
        not trial.fits
        and dataclasses.replace(trial.layout, remat=layout.remat) == layout
        and (trial.refused or remats.index(trial.layout.remat) >= remats.index(layout.remat))
        for trial in trials
    )


def outcome(trial: Trial) -> str:
    """Of a trial, in words."""
    if trial.refused:
        return trial.refused
    if not trial.fits:
        return f"{trial.peak_gib:.1f} GiB, does not fit"
    if trial.step_seconds is None:
        return f"{trial.peak_gib:.1f} GiB"
    mfu = "" if trial.mfu is None else f", MFU {trial.mfu:.0%}"
    return f"{trial.peak_gib:.1f} GiB, {seconds_text(trial.step_seconds)}{mfu}, {trial.bound}"


def seconds_text(seconds: float) -> str:
    """`1.234 s`, or milliseconds below one."""
    return f"{seconds:.3f} s" if seconds >= 1 else f"{seconds * 1e3:.3f} ms"


def table(found: Found) -> str:
    """The trials, the best first, and what was not tried."""
    width = max([len(trial.layout.name) for trial in found.trials] + [len(_FIRST)])
    lines = [f"{_FIRST:{width}}  {'GiB':>6}  {'step (est.)':>11}  {'MFU':>5}  bound by"]
    for trial in found.trials:
        start = f"{trial.layout.name:{width}}"
        if trial.refused:
            lines.append(f"{start}  {trial.refused}")
            continue
        seconds = "" if trial.step_seconds is None else seconds_text(trial.step_seconds)
        mfu = "" if trial.mfu is None else f"{trial.mfu:.0%}"
        last = trial.bound if trial.fits else "does not fit"
        lines.append(f"{start}  {trial.peak_gib:6.1f}  {seconds:>11}  {mfu:>5}  {last}")
    lines.append(
        f"{len(found.trials)} compiled; by arithmetic {found.too_large} cannot fit and "
        f"{found.slower} cannot be faster; {found.untried} not reached in time"
    )
    return "\n".join(lines) + "\n"


_FIRST = "data x stage x model"
