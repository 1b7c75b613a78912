"""Starting from another run: which of this run's parameters are taken from which of that run's.

How names go together is in init_names.py, and what has another shape in fitting.py. Of a network
that has a moving average there, the average is what is taken; one here starts from the same.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.objectives.average import average_name
from babeldraw.objectives.base import Objective
from babeldraw.objectives.lora import LowRank
from babeldraw.ranges import Whole
from babeldraw.training import agreement
from babeldraw.training.keeping import checkpoint_files, checkpoints, parameters, run_folders
from babeldraw.training.keeping import settings as settings_lib
from babeldraw.training.keeping.fitting import Fitter
from babeldraw.training.keeping.init_names import is_fresh, largest_network, match, networks
from babeldraw.training.keeping.manifest import read_manifest
from babeldraw.training.state import Variable


@dataclasses.dataclass(frozen=True, kw_only=True)
class InitFrom:
    """What the first state of a run is taken from.

    Attributes:
      model_dir: the other run, or a folder with one run inside; "": none.
      step: of its checkpoint; the latest by default.
      rules: pairs `(ours, theirs)`: what is below `ours` is taken from below `theirs`. The first
        that matches counts; by default parameters of the same name are taken.
      fresh: what starts as in a run of its own, whatever the other run has.
      resize: positions and tables of pieces may have another size; see resizing.py.
      optimizer: keep the optimizer's state as well, where every array is as it was; its schedule
        begins anew.

    Raises:
      UserError: rules or names are not written as they should be, or there is no run for them.
    """

    model_dir: str = ""
    step: Whole | None = None
    rules: tuple[tuple[str, str], ...] = ()
    fresh: tuple[str, ...] = ()
    resize: bool = False
    optimizer: bool = False

    def __post_init__(self) -> None:
        if not _all_text(self.fresh):
            raise UserError(
                f"INIT_FRESH is {self.fresh!r}: give names, with a comma after a single one, such "
                "as ('logits',)."
            )
        if isinstance(self.rules, str) or not all(
            _all_text(rule) and len(rule) == 2 for rule in self.rules
        ):
            raise UserError(
                f"INIT_RULES is {self.rules!r}: give pairs of names, ours and theirs, with a comma "
                "after a single pair, such as (('encoder', 'text_encoder/encoder'),)."
            )
        named = (self.step is not None, self.rules, self.fresh, self.resize, self.optimizer)
        if not self.model_dir and any(named):
            raise UserError(
                "INIT_STEP, INIT_RULES, INIT_FRESH, INIT_RESIZE and INIT_OPTIMIZER are of a run "
                "that INIT_FROM names: set it, such as INIT_FROM = 'runs/other'."
            )

    def asked(self) -> dict[str, Any]:
        """The settings as data, for the manifest."""
        data: dict[str, Any] = settings_lib.to_data(self)
        return {name: value for name, value in data.items() if name != "class"}


def _all_text(names: Any) -> bool:
    return isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)


class Row(NamedTuple):
    """One line of the table."""

    kind: str  # taken, resized, fresh, shape differs (and said to start fresh), unused
    name: str  # Of this run; of what is unused, of the other.
    shape: tuple[int, ...]
    source: str = ""  # Of the other run.
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run starts from, in the host's memory; layers of a stack are in one axis."""

    arrays: Mapping[str, Shaped[np.ndarray, "..."]]
    """Variable (`params/...`, `optimizer_state/...`) -> what it starts from."""
    known: Mapping[str, Shaped[np.ndarray, "..."]]
    """Variable -> where that is of the other run (to be broadcast), if it is not everywhere."""
    rows: tuple[Row, ...]
    record: Mapping[str, Any]
    """For the manifest: the settings, and the run, step and checkpoint that they came to."""
    constants: Mapping[str, str]
    """Hashes of the other run's frozen networks."""


def read_start(
    init_from: InitFrom, objective: Objective, variables: list[Variable], dataset: Any
) -> Start:
    """Reads of the other run what is taken, into the memory of every host; writes nothing.

    Args:
      init_from: names the run.
      objective: of this run.
      variables: of this run's state.
      dataset: that of the training; may have `vocabulary_model`.

    Raises:
      UserError: there is no such run or checkpoint, it is damaged, nothing in it has this run's
        names, a rule or name matches nothing, shapes differ that nothing was said of, or the
        optimizer's state does not fit.
    """
    run = _choose(init_from.model_dir, objective)
    latest = checkpoints.latest_step(run)
    # A run that goes on saves between the answers that two hosts get.
    step = agreement.of_first(latest if init_from.step is None else init_from.step)
    described = parameters.describe(run, step)
    stored = _averaged(described)
    trained = {name: described[kept] for name, kept in stored.items()}
    frozen = checkpoint_files.by_name(checkpoints.load_constants(run))
    theirs = {**frozen, **trained}

    wanted = {v.name.removeprefix("params/"): v for v in variables if v.name.startswith("params/")}
    network_of = {average_name(name): name for name in objective.abstract_params}
    named = {name: _named(name, network_of) for name in wanted}
    sources = match(init_from.rules, init_from.fresh, run, set(named.values()), theirs)
    if not any(sources.values()):
        ours, other = largest_network(wanted), largest_network(trained)
        raise UserError(
            f"{run} has no parameter in common with this run (it trains {networks(trained)}, and "
            f"this run {networks(wanted)}): give another run, or say what is what, such as "
            f"INIT_RULES = (('{ours}', '{other}'),)."
        )
    taken = {sources[named[n]] for n in wanted if not is_fresh(named[n], init_from.fresh)}
    found = parameters.read(run, step, {stored[source] for source in taken & trained.keys()})
    fitter = Fitter(init_from.resize, run, objective, dataset, set(named.values()))
    arrays, known, rows = {}, {}, []
    for name, variable in wanted.items():
        source, shape = sources[named[name]], variable.sequential_shape
        if is_fresh(named[name], init_from.fresh):
            differs = source and theirs[source].shape != shape
            note = f"{list(theirs[source].shape)} there" if differs else ""
            rows.append(Row("shape differs" if differs else "fresh", name, shape, source, note))
            continue
        if not source:
            rows.append(Row("fresh", name, shape))
            continue
        array = found[stored[source]] if source in trained else frozen[source]
        if (fitted := fitter.fit(named[name], source, array, shape)) is not None:
            arrays[variable.name] = fitted.array.astype(variable.dtype)
            if fitted.known is not None:
                known[variable.name] = fitted.known
            rows.append(Row("resized" if fitted.how else "taken", name, shape, source, fitted.how))
    fitter.refuse()
    if init_from.optimizer:
        changed = [r for r in rows if r.kind != "taken" or r.source != named[r.name]]
        arrays |= _optimizer_state(run, step, variables, changed)
    used = set(sources.values())
    rows += [Row("unused", name, trained[name].shape) for name in trained if name not in used]
    record = {
        **init_from.asked(),
        "run": str(files.path(run)),
        "step": step,
        "checkpoint": identity(run, step),
    }
    written = read_manifest(files.path(run))
    return Start(arrays, known, tuple(rows), record, written.constants if written else {})


def _choose(model_dir: str, objective: Objective) -> str:
    """The run directory itself, or the one inside that can be meant."""
    run_folders.require_run(model_dir)
    run_folders.refuse_exported(model_dir)
    found = run_folders.runs_in(model_dir)
    kind = settings_lib.class_name(type(objective))
    fit_ = found if len(found) == 1 else [r for r in found if run_folders.objective_of(r) == kind]
    if len(fit_) != 1:
        raise UserError(
            f"{model_dir} holds {len(found)} runs; name one of those inside in INIT_FROM: "
            f"{run_folders.named(found)}"
        )
    low_rank = settings_lib.class_name(LowRank)
    if run_folders.objective_of(fit_[0]) == low_rank != kind:
        # What is frozen there would be taken, and what it has learned be left.
        raise UserError(
            f"{fit_[0]} trains low-rank changes of another run's model, which a "
            f"{kind.rpartition('.')[2]} run does not take: give a run that was trained whole in "
            "INIT_FROM, such as the one that it came from."
        )
    return fit_[0]


def _averaged(described: Mapping[str, Any]) -> dict[str, str]:
    """Each parameter of a trained network -> itself, or what follows it in a moving average."""
    averages = {average_name(name.partition("/")[0]) for name in described}
    stored = {}
    for name in described:
        network, _, rest = name.partition("/")
        average = f"{average_name(network)}/{rest}"
        if network not in averages:
            stored[name] = average if average in described else name
    return stored


def _named(name: str, network_of: Mapping[str, str]) -> str:
    """The parameter that a parameter of a moving average follows; any other is itself."""
    network, _, rest = name.partition("/")
    return f"{network_of.get(network, network)}/{rest}"


def _optimizer_state(
    run: str, step: int, variables: list[Variable], changed: list[Row]
) -> dict[str, Shaped[np.ndarray, "..."]]:
    fix = "leave INIT_OPTIMIZER out, and it starts fresh."
    if changed:
        raise UserError(
            "INIT_OPTIMIZER keeps the optimizer's state where every parameter is the other run's "
            f"of the same name and shape, and {changed[0].name} is not: {fix}"
        )
    found = checkpoints.load_optimizer_state(run, step)
    for variable in variables:
        array = found.get(variable.name)
        ours = f"{np.dtype(variable.dtype).name}{list(variable.sequential_shape)}"
        there = "missing" if array is None else f"{array.dtype.name}{list(array.shape)}"
        if variable.name.startswith("optimizer_state/") and there != ours:
            raise UserError(
                f"INIT_OPTIMIZER cannot keep the optimizer's state of {run}: its {variable.name} "
                f"is {there}, and this run's is {ours}; take the same optimizer, or {fix}"
            )
    return {v.name: found[v.name] for v in variables if v.name.startswith("optimizer_state/")}


def identity(run: str, step: int) -> str:
    """A hash of the fingerprints of a checkpoint's arrays."""
    with checkpoints.reading(run, step) as (_, written):
        told = json.dumps(written.get("fingerprints", {}), sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()
