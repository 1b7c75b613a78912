"""What looking at a run costs: `python -m benchmarks.looks [--calls 5]`.

Of the quickstart's second stage with fresh weights: seconds of processor time to compile, and to
run, a training step, the evaluation of a batch and a sheet's samples. Processor time, for others
may keep the machine busy; two cores at work count twice.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

RECIPE = "gin/runs/quickstart_text_to_image.gin"


def processor_seconds(call: Callable[[], Any]) -> float:
    """Of one call, its devices' work included."""
    began = time.process_time()
    jax.block_until_ready(call())
    return time.process_time() - began


def programs() -> dict[str, Callable[[], Any]]:
    """Name -> one call of the compiled program."""
    from babeldraw.cli.support.gin_config import parse_gin
    from babeldraw.cli.support.recipes import read_recipe
    from babeldraw.parallel.rules import unbox
    from babeldraw.training.state import init_state
    from babeldraw.training.watching.looks import SHOWN

    parse_gin([RECIPE], ["MODEL_DIR = ''", "TOKENIZER_CHECKPOINT = ''"])
    objective: Any
    objective, rows = read_recipe([RECIPE])
    state = jax.jit(lambda: init_state(objective, 0))()
    (name, images), *_ = [
        (name, np.zeros(entry.shape, entry.dtype))
        for name, entry in objective.batch_shapes(rows).items()
        if name == "image"
    ]
    frozen = jax.jit(lambda: objective.tokenizer.init(jax.random.key(1), images[:1] / 255))()
    constants = {"tokenizer": unbox(frozen["params"])}
    batch = {
        "text_tokens": jnp.ones((rows, objective.model.text_length), jnp.int32),
        name: jnp.asarray(images),
    }
    few = {name: array[:SHOWN] for name, array in batch.items()}
    key, (player,) = jax.random.key(0), objective.players()

    def loss(params: Any, constants: Any, batch: Any) -> Any:
        return player.loss(params, {player.name: params}, constants, batch, key, state.step)[0]

    step = jax.jit(jax.value_and_grad(loss))
    evaluate, draw = jax.jit(objective.evaluate), jax.jit(objective.pictures)
    return {
        f"loss and gradient of {rows} pictures": lambda: step(
            state.params[player.name], constants, batch
        ),
        f"evaluation of {rows} pictures": lambda: evaluate(state.params, constants, batch, key),
        f"samples of {SHOWN} prompts": lambda: draw(state.params, constants, few, key),
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5, help="the median of so many is printed")
    calls = parser.parse_args().calls
    print("| | first call, with compiling (s) | a call (s) |\n|---|---|---|")
    for name, call in programs().items():
        first = processor_seconds(call)
        later = np.median([processor_seconds(call) for _ in range(calls)])
        print(f"| {name} | {first:.1f} | {later:.3f} |", flush=True)


if __name__ == "__main__":
    main()
