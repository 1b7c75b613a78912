"""What each rung trains and what it holds, as the tables of docs/rungs.md.

    python -m benchmarks.rungs     # writes them, from the gin files; nothing is compiled

XLA compiles for a GPU only where there is one. What a train step holds at its fullest moment is
found by tracing it: what is not counted is the working space of the layer that is being computed.
"""

import argparse
import math
from typing import Any

import gin
import jax
import jax.numpy as jnp

from babeldraw.cli.support.gin_config import parse_gin
from babeldraw.cli.support.machines import load_machine_file
from babeldraw.cli.support.rungs import RUNGS, STAGES, Rung
from babeldraw.objectives.base import Player
from babeldraw.training.machine import Machine
from babeldraw.training.state import init_state
from benchmarks.plans import ROOT

PAGE = ROOT / "docs/rungs.md"
_OF_THE_RUN = ("MODEL_DIR", "TOKENIZER_CHECKPOINT")

FINER = "32x32"
FIGURES = {
    "cpu": "[at 32 and 48 px](small_photographs.md)",
    "evening": "not run",
    "gpu_hour": "not run",
    "gpu_day": "not run",
}
"""Where the figures of each stand."""


def files_of(rung: Rung, stage: str, finer: bool = False) -> list[str]:
    """The gin files of a stage; `finer`: with 32 x 32 tokens."""
    return [rung.recipe(stage), *([f"gin/rungs/{FINER}.gin"] if finer else [])]


def recipes() -> str:
    """The table of what each rung trains."""
    lines = [
        "| rung, stage | px | tokens, codes | parameters | batch | steps, warm-up | rate | EMA | "
        "figures |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for rung in RUNGS:
        for stage in STAGES:
            parse_gin(files_of(rung, stage), [], unneeded=_OF_THE_RUN)
            built = gin.query_parameter("loop.train.objective").scoped_configurable_fn()
            count = sum(leaf.size for leaf in jax.tree.leaves(built.abstract_params[stage]))
            macro = {
                name: gin.query_parameter(f"%{name}")
                for name in (
                    *("IMAGE_SIZE", "CODEBOOK_SIZE", "BATCH_SIZE", "TRAIN_STEPS"),
                    *("WARMUP_STEPS", "LEARNING_RATE", "EMA_DECAY"),
                )
            }
            cells = [
                f"`{rung.name}`, {stage}",
                str(macro["IMAGE_SIZE"]),
                f"{built.model.num_tokens}, {macro['CODEBOOK_SIZE']:,}",
                f"{count / 1e6:.2f}M",
                str(macro["BATCH_SIZE"]),
                f"{macro['TRAIN_STEPS']:,}, {macro['WARMUP_STEPS']:,}",
                f"{macro['LEARNING_RATE']:g}",
                f"{macro['EMA_DECAY']:g}",
                FIGURES[rung.name],
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def kept_bytes(rung: Rung, stage: str, finer: bool) -> dict[str, int]:
    """Bytes that a train step holds, by tracing it as the machine file for one GPU executes it.

    Returns:
      `batch_size`; `state`: weights, their average, the optimizer; `gradients`; `frozen`: networks
      that are not trained; `residuals`: what the forward pass keeps for the backward pass, of the
      player that keeps the most.
    """
    parse_gin(files_of(rung, stage, finer), [], unneeded=_OF_THE_RUN)
    batch_size = gin.query_parameter("%BATCH_SIZE")
    machine = Machine.from_config(load_machine_file("configs/gpu_24gb.py"))
    built = gin.query_parameter("loop.train.objective").scoped_configurable_fn()
    built = built.with_execution(machine.execution)
    state = jax.eval_shape(lambda: init_state(built, 0))
    frozen, batch = built.abstract_constants(), built.batch_shapes(batch_size)
    key = jax.eval_shape(lambda: jax.random.key(0))
    most, gradients = 0, 0
    for player in built.players():
        own = state.params[player.name]

        def backward(own: Any, frozen: Any, batch: Any, key: Any, player: Player = player) -> Any:
            def loss(own: Any) -> jax.Array:
                step = jax.numpy.int32(0)
                return player.loss(own, {**params, player.name: own}, frozen, batch, key, step)[0]

            params = jax.tree.map(lambda leaf: jax.numpy.zeros(leaf.shape), state.params)
            return jax.vjp(loss, own)[1]

        kept = jax.eval_shape(backward, own, frozen, batch, key)
        given = _bytes((own, frozen, batch))
        most = max(most, _bytes(kept) - given)
        gradients = max(gradients, _bytes(own))
    return {
        "batch_size": batch_size,
        "state": _bytes(state),
        "gradients": gradients,
        "frozen": _bytes(frozen),
        "residuals": max(most, 0),
    }


def _bytes(tree: Any) -> int:
    numbers = (
        leaf
        for leaf in jax.tree.leaves(tree)
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    )
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in numbers)


def memory() -> str:
    """The table of what the rungs for GPUs hold."""
    lines = [
        "| rung, stage | tokens | batch | weights, average, optimizer | gradients | frozen "
        "| kept for the backward pass | together, GiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rung in (rung for rung in RUNGS if rung.accelerated):
        for finer in (False, True)[: 1 + (rung.name == "gpu_day")]:
            for stage in STAGES:
                held = kept_bytes(rung, stage, finer)
                tokens, batch = "32 x 32" if finer else "16 x 16", held.pop("batch_size")
                sizes = [f"{size / 2**30:.2f}" for size in (*held.values(), sum(held.values()))]
                cells = [f"`{rung.name}`, {stage}", tokens, str(batch), *sizes]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def insert(text: str, name: str, table: str) -> str:
    """`text` with `table` between `<!-- NAME:begin -->` and `<!-- NAME:end -->`."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"docs/rungs.md has no {begin} and {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def main() -> None:
    """Writes the tables."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    text = insert(PAGE.read_text(), "rungs", recipes())
    PAGE.write_text(insert(text, "memory", memory()))


if __name__ == "__main__":
    main()
