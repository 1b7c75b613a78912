"""`babeldraw plan --search`: reckons, compiles and confirms the layouts of a recipe on a slice."""

import dataclasses
from collections.abc import Callable

import jax

from babeldraw.errors import UserError
from babeldraw.objectives.base import NotOffered, Objective
from babeldraw.planning.layouts import Layout, layouts
from babeldraw.planning.plan import Plan, Progress, SamplingPlan, make_plan, plan_sampling
from babeldraw.planning.programs import optimise_fully, optimise_least
from babeldraw.planning.reckoning import Reckoned, Reckoner
from babeldraw.planning.search import Found, search
from babeldraw.planning.topologies import Topology, known_slices
from babeldraw.planning.trials import Trial, TrialFile
from babeldraw.training.machine import Machine


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a search gives.

    Attributes:
      plan: of the best layout, its sampling included; None where nothing fits.
      layout: of that plan.
      advice: what to do where nothing fits, one sentence; "" otherwise.
    """

    found: Found
    plan: Plan | None = None
    layout: Layout | None = None
    advice: str = ""


def find_layout(
    objective: Objective,
    machine: Machine,
    batch_size: int,
    topology: Topology,
    file: TrialFile,
    *,
    minutes: float,
    confirm_fully: bool = True,
    progress: Progress = lambda text: None,
    planner: Callable[..., Plan] = make_plan,
) -> Answer:
    """The fastest layout, by the estimates of `babeldraw plan`.

    Args:
      machine: what a layout does not say, such as XLA's flags and in how many parts a batch goes.
      file: where trials are kept.
      minutes: for the trials; the confirmation of the best comes on top.
      confirm_fully: compile the best once more with all of the compiler's optimisations.
      planner: makes plans, as `make_plan` does.
    """
    reckoner = Reckoner(objective, batch_size, machine.accumulate)
    rows = _reckon(reckoner, objective, batch_size, topology)
    progress(f"{len(rows)} layouts divide on {topology.name}\n")

    def try_layout(layout: Layout) -> Trial:
        try:
            plan = planner(objective, layout.on(machine), batch_size, topology, with_sampling=False)
        except UserError as error:
            trial = Trial(layout, 0.0, refused=str(error))
        except Exception as error:  # one layout that fails must not end the search of many
            reason = str(error).partition("\n")[0][:200]
            return Trial(layout, 0.0, refused=f"{type(error).__name__}: {reason}")
        else:
            trial = Trial.of(layout, plan)
        try:
            file.add(trial)
        except OSError as error:
            progress(f"({error}: not kept; set BABELDRAW_CACHE_DIR to a folder of yours) ")
        jax.clear_caches()
        return trial

    optimise_least()
    available = topology.chip.hbm_available_gib
    known = file.read()
    found = search(rows, available, try_layout, known=known, minutes=minutes, progress=progress)
    if confirm_fully:
        optimise_fully()
    for trial in found.fitting:
        progress(f"confirming {trial.layout.name}: ")
        best = trial.layout.on(machine)
        plan = planner(
            objective, best, batch_size, topology, with_sampling=False, progress=progress
        )
        if plan.train_fits:
            plan = _with_sampling(plan, objective, reckoner, progress)
            return Answer(found, plan, trial.layout)
    return Answer(found, advice=_advice(reckoner, objective, batch_size, topology, rows, found))


def _reckon(
    reckoner: Reckoner, objective: Objective, batch_size: int, topology: Topology
) -> list[Reckoned]:
    every = layouts(
        topology.num_devices,
        batch_size // reckoner.parts,
        objective.flops(),
        topology.num_slices,
    )
    reckoned = (reckoner.reckon(layout, topology) for layout in every)
    return [row for row in reckoned if row is not None]


def _with_sampling(
    plan: Plan, objective: Objective, reckoner: Reckoner, progress: Progress
) -> Plan:
    """The plan with the drawing of pictures, split over no more chips than their memory asks."""
    devices = plan.topology.num_devices
    drawing: SamplingPlan | None = None
    for model in (size for size in range(1, devices + 1) if devices % size == 0):
        # Half of the memory is left for what is kept of the tokens drawn so far.
        gib = reckoner.weights_gib(model)
        if gib is None or gib > plan.topology.chip.hbm_available_gib / 2:
            continue
        if devices // model % plan.topology.num_slices:
            continue
        mesh = {"data": devices // model, "model": model}
        try:
            drawing = plan_sampling(objective, mesh, plan.topology, progress)
        except NotOffered:
            return plan
        machine = dataclasses.replace(plan.machine, sampling_mesh=mesh)
        plan = dataclasses.replace(plan, machine=machine, sampling=drawing)
        if drawing.fits:
            break
    return plan


def _advice(
    reckoner: Reckoner,
    objective: Objective,
    batch_size: int,
    topology: Topology,
    rows: list[Reckoned],
    found: Found,
) -> str:
    """What would fit: more time, or the smallest slice on which something does, by arithmetic."""
    compiled = len(found.trials)
    if found.untried:
        return (
            f"none of {compiled} layouts compiled fits {topology.name}, and {found.untried} were "
            "not reached: give more --minutes, what was compiled is known\n"
        )
    reckoned = {row.layout: row.gib for row in rows}
    wanted, chip, growth = min(reckoned.values(), default=0.0), topology.chip, 1.0
    peaks = [(t.peak_gib, reckoned[t.layout]) for t in found.trials if t.peak_gib]
    if peaks:  # where the compiler needs more than was reckoned, so it will on a larger slice
        wanted, least = min(peaks)
        growth = wanted / least
    start = (
        f"nothing fits {topology.name}: the smallest layout takes {wanted:.1f} of "
        f"{chip.hbm_available_gib:.2f} GiB a chip; "
    )
    for larger in known_slices(chip.name):
        if larger.num_devices <= topology.num_devices:
            continue
        every = _reckon(reckoner, objective, batch_size, larger)
        smallest = min(every, key=lambda row: row.gib, default=None)
        if smallest is not None and growth * smallest.gib <= chip.hbm_available_gib:
            return (
                f"{start}by arithmetic the smallest slice that may hold it is {larger.name} "
                f"({smallest.layout.name})\n"
            )
    return f"{start}no {chip.name} slice holds a batch of {batch_size:,}: make BATCH_SIZE smaller\n"
