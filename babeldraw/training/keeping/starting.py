"""The first state of a run: fresh, or from another run; and the table that says what came from it.

model_dir/init_from.txt has a line for each parameter: what became of it (taken; resized; fresh;
shape differs, and was said to start fresh; unused, of the other run), its name, its shape, and the
parameter of the other run.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from etils import epath
from jaxtyping import Array, Shaped

from babeldraw.files import written_whole
from babeldraw.objectives.base import Constants, Objective
from babeldraw.optimizers.adafactor import AdafactorState
from babeldraw.training import agreement
from babeldraw.training.keeping import checkpoint_files as files
from babeldraw.training.keeping.fitting import SHOWN
from babeldraw.training.keeping.init_from import Start
from babeldraw.training.keeping.manifest import hash_constants
from babeldraw.training.state import TrainState, init_state, variable_name

NAME = "init_from.txt"

DECODER = "tokenizer/decoder/"
"""Of frozen networks what no token depends on."""


def first_state(
    objective: Objective, seed: int, target: TrainState, start: Start | None
) -> TrainState:
    """The state before the first step, placed as `target` says.

    What `start` does not give is that of a fresh run with this seed, bit for bit. The optimizer is
    that of the parameters which the run starts from.
    """
    shardings = jax.tree.map(lambda leaf: leaf.sharding, target)
    arrays = start.arrays if start else {}
    known = start.known if start else {}
    taken = {
        name: files.place(arrays[name], leaf)
        for name, leaf in files.by_name({"params": target.params}).items()
        if name in arrays
    }

    def init(taken: Mapping[str, Shaped[Array, "..."]]) -> TrainState:
        def change(path: tuple[Any, ...], fresh: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
            name = f"params/{variable_name(path)}"
            if name not in taken:
                return fresh
            return jnp.where(known[name], taken[name], fresh) if name in known else taken[name]

        return init_state(
            objective, seed, lambda params: jax.tree_util.tree_map_with_path(change, params)
        )

    state: TrainState = jax.jit(init, out_shardings=shardings)(taken)
    counters = _counters(target.optimizer_state)

    def keep(path: tuple[Any, ...], fresh: jax.Array, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        name = f"optimizer_state/{variable_name(path)}"
        is_kept = name in arrays and name not in counters
        return files.place(arrays[name], leaf) if is_kept else fresh

    kept = jax.tree_util.tree_map_with_path(keep, state.optimizer_state, target.optimizer_state)
    return dataclasses.replace(state, optimizer_state=kept)


def _counters(optimizer_state: Any) -> set[str]:
    """What counts steps for a schedule, which begins anew; not what moments are divided by."""

    def counts(node: Any) -> bool:
        return isinstance(node, optax.ScaleByScheduleState | AdafactorState)

    found = jax.tree_util.tree_leaves_with_path(optimizer_state, is_leaf=counts)
    return {
        f"optimizer_state/{variable_name(path)}/{counter}"
        for path, node in found
        if counts(node)
        for counter in (("step", "skipped") if isinstance(node, AdafactorState) else ("count",))
    }


def tell_start(directory: epath.Path, start: Start, constants: Constants) -> None:
    """Process 0 writes the table, and says what it comes to.

    Args:
      directory: the run's.
      start: what it starts from.
      constants: its frozen networks, as host arrays.
    """
    agreement.by_first(lambda: _tell(directory, start, constants))


def _tell(directory: epath.Path, start: Start, constants: Constants) -> None:
    ours = hash_constants(constants)
    others = [name for name in ours if start.constants.get(name, ours[name]) != ours[name]]
    lines = [f"starts from {start.record['run']}, step {start.record['step']}:"]
    for kind, count in Counter(row.kind for row in start.rows).items():
        names = [row.name for row in start.rows if row.kind == kind]
        more = ", ..." if count > SHOWN else ""
        said = "" if kind == "taken" else f": {', '.join(names[:SHOWN])}{more}"
        lines.append(f"  {kind} {count}{said}")
    if others and all(name.startswith(DECODER) for name in others):
        lines.append("  beside another decoder of the tokenizer, for the same tokens")
    elif others:
        lines.append(
            f"  beware: frozen networks are others than that run's ({len(others)} arrays, such as "
            f"{others[0]}), so that tokens may mean something else"
        )
    print("\n".join([*lines, f"  see {NAME}"]), flush=True)
    width = max(len(row.name) for row in start.rows)
    for row in start.rows:
        came = f" <- {row.source}" if row.source else ""
        note = f" ({row.note})" if row.note else ""
        lines.append(f"{row.kind:13}  {row.name:{width}}  {list(row.shape)}{came}{note}")
    with written_whole(directory / NAME, "free its disk or give another model_dir") as file:
        file.write(("\n".join(lines) + "\n").encode())
