"""Machine settings that make a recipe fit, or run faster, each found by compiling it."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, get_args

from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective
from babeldraw.parallel.execution import Remat
from babeldraw.planning.plan import Plan, Progress, make_plan
from babeldraw.training.machine import Machine


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting tried.

    Attributes:
      changes: fields of the machine file that differ from the given one.
      refused: why it cannot be built at all, "" where it was compiled.
    """

    changes: dict[str, Any]
    fits: bool = False
    peak_hbm_gib: float | None = None
    estimated_step_seconds: float | None = None
    refused: str = ""
    recommended: bool = False

    @property
    def name(self) -> str:
        """In words."""
        if not self.changes:
            return "as given"
        return ", ".join(f"{key} = {value!r}" for key, value in self.changes.items())


def candidates(machine: Machine, mesh: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Changes to try, by and large those that cost the least speed first."""
    others = [remat for remat in get_args(Remat) if remat != machine.remat]
    if mesh["stage"] > 1:
        for factor in (2, 4):
            yield {"num_microbatches": machine.num_microbatches * factor}
    for remat in others:
        yield {"remat": remat}
    if not machine.fsdp and mesh["data"] > 1:
        yield {"fsdp": True}
        if machine.remat != "full":
            yield {"fsdp": True, "remat": "full"}
    if mesh["data"] % 2 == 0:
        if mesh["stage"] > 1:
            yield {
                "mesh": {**mesh, "data": mesh["data"] // 2, "stage": mesh["stage"] * 2},
                "num_microbatches": max(machine.num_microbatches, mesh["stage"] * 2),
            }
        else:
            yield {"mesh": {**mesh, "data": mesh["data"] // 2, "model": mesh["model"] * 2}}


def try_settings(
    objective: Objective,
    given: Plan,
    progress: Progress = lambda text: None,
    planner: Callable[..., Plan] = make_plan,
) -> list[Trial]:
    """Compiles the train step under every candidate; marks the fastest estimate that fits.

    Args:
      given: the plan of the machine as it is, the first in the list.
      planner: makes plans, as `make_plan` does.
    """
    trials = [_trial({}, given)]
    for changes in candidates(given.machine, given.mesh):
        progress(f"{Trial(changes).name}: ")
        machine = dataclasses.replace(given.machine, **changes)
        try:
            plan = planner(
                objective,
                machine,
                given.batch_size,
                given.topology,
                with_sampling=False,
                progress=progress,
            )
        except UserError as error:
            progress(f"{error}\n")
            trials.append(Trial(changes, refused=str(error)))
            continue
        trials.append(_trial(changes, plan))
    fitting = [trial for trial in trials if trial.fits]
    if not fitting:
        return trials
    best = min(
        fitting,
        key=lambda trial: (trial.estimated_step_seconds or float("inf"), trial.peak_hbm_gib),
    )
    return [dataclasses.replace(trial, recommended=trial is best) for trial in trials]


def _trial(changes: dict[str, Any], plan: Plan) -> Trial:
    return Trial(changes, plan.train_fits, plan.peak_hbm_gib, plan.estimated_step_seconds)


def table(trials: list[Trial]) -> str:
    """The trials, and what to write into the machine file."""
    width = max(len(trial.name) for trial in trials)
    lines = [f"{'setting tried':{width}}  {'peak GiB':>8}  {'step (est.)':>11}"]
    for trial in trials:
        if trial.refused:
            lines.append(f"{trial.name:{width}}  {trial.refused}")
            continue
        seconds = trial.estimated_step_seconds
        speed = "" if seconds is None else seconds_text(seconds)
        verdict = "fits" if trial.fits else "does not fit"
        mark = "  <- recommended" if trial.recommended else ""
        lines.append(
            f"{trial.name:{width}}  {trial.peak_hbm_gib:8.2f}  {speed:>11}  {verdict}{mark}"
        )
    if not any(trial.fits for trial in trials):
        lines.append("none of them fits: use a larger slice, or a smaller BATCH_SIZE")
    return "\n".join(lines) + "\n"


def seconds_text(seconds: float) -> str:
    """`1.234 s`, or milliseconds below one."""
    return f"{seconds:.3f} s" if seconds >= 1 else f"{seconds * 1e3:.3f} ms"


def advice(plan: Plan) -> str:
    """What may help a plan that does not fit, untried."""
    if plan.train_fits:
        return (
            "sampling does not fit: set `sampling_mesh` in the machine file to a mesh with more "
            "`model`\n"
        )
    remats, given = get_args(Remat), plan.machine.remat  # from what keeps all to what keeps least
    ideas = [
        Trial(changes).name
        for changes in candidates(plan.machine, plan.mesh)
        if remats.index(changes.get("remat", given)) >= remats.index(given)
    ]
    return "\n".join(
        [
            f"{plan.peak_hbm_gib - plan.hbm_available_gib:.2f} GiB too much on each chip. What may "
            "help (--suggest tries them):",
            *(f"  {idea}" for idea in ideas),
            "",
        ]
    )
