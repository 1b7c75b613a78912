"""Seconds and temporary memory of one update of 100M parameters, ours beside optax's Adafactor.

    python -m benchmarks.optimizer_update [--layers 8] [--repeats 9]

The tree is a stack of Transformer layers of width 1024. An update is gradients to new parameters
with everything donated, compiled alone. Updates of all optimizers alternate within one run, each
on its own copy of the same gradients; a figure is the median. Seconds of CPU are those of all
threads together: on a machine that others use as well they tell more than seconds on the clock.

optax.adafactor has a float32 moment here, the same decay, and no scaling by parameters (which
ours has not either); it clips no global norm, which ours does.
"""

import argparse
import os
import statistics
import time
from typing import Any

WIDTH, MLP, HEADS = 1024, 4096, 16


def shapes(layers: int) -> dict[str, tuple[int, ...]]:
    """Of a stack of layers; 12.6M parameters each."""
    head_dim = WIDTH // HEADS
    return {
        "wi": (layers, WIDTH, MLP),
        "wo": (layers, MLP, WIDTH),
        "query": (layers, WIDTH, HEADS, head_dim),
        "key": (layers, WIDTH, HEADS, head_dim),
        "value": (layers, WIDTH, HEADS, head_dim),
        "output": (layers, HEADS, head_dim, WIDTH),
        "norm": (layers, WIDTH),
    }


def optimizers() -> dict[str, Any]:
    """Name -> optax.GradientTransformation; the ratios are to the last."""
    import optax

    from babeldraw.optimizers.adafactor import adafactor

    rate = 1e-3
    return {
        "babeldraw int8": adafactor(rate, layer_axes=1),
        "babeldraw float32": adafactor(rate, first_moment_dtype="float32", layer_axes=1),
        "optax.adafactor float32": optax.adafactor(
            rate, momentum=0.9, multiply_by_parameter_scale=False, weight_decay_rate=4.5e-2
        ),
    }


class Update:
    """One optimizer's compiled update, its state and its parameters."""

    def __init__(self, optimizer: Any, params: Any) -> None:
        import jax
        import optax

        def step(gradients: Any, state: Any, params: Any) -> tuple[Any, Any]:
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        self.params = jax.tree.map(jax.numpy.copy, params)
        self.state = jax.jit(optimizer.init)(params)
        jitted = jax.jit(step, donate_argnums=(0, 1, 2))
        self.compiled = jitted.lower(params, self.state, params).compile()
        self.temporaries = self.compiled.memory_analysis().temp_size_in_bytes
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def __call__(self, gradients: Any) -> None:
        """Moves the parameters once; the gradients are lost."""
        import jax

        wall, cpu = time.perf_counter(), time.process_time()
        self.params, self.state = self.compiled(gradients, self.state, self.params)
        jax.block_until_ready((self.params, self.state))
        self.seconds.append(time.perf_counter() - wall)
        self.cpu_seconds.append(time.process_time() - cpu)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=8, help="of 12.6M parameters each")
    parser.add_argument("--repeats", type=int, default=9, help="updates of each optimizer")
    args = parser.parse_args()
    import warnings

    import jax

    # Gradients are donated for their memory, not to become a result.
    warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
    keys = iter(jax.random.split(jax.random.key(0), 100))
    tree = {
        name: jax.random.normal(next(keys), shape) for name, shape in shapes(args.layers).items()
    }
    count = sum(leaf.size for leaf in jax.tree.leaves(tree))
    layer = sum(leaf[0].nbytes for leaf in jax.tree.leaves(tree))
    print(f"jax {jax.__version__}, {os.cpu_count()} cores, {count / 1e6:.1f}M parameters")
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    updates = {name: Update(optimizer, tree) for name, optimizer in optimizers().items()}
    for turn in range(args.repeats + 1):
        for update in updates.values():
            gradients = jax.block_until_ready(jax.tree.map(jax.numpy.copy, tree))
            update(gradients)
            if turn == 0:  # Warm.
                update.seconds.clear()
                update.cpu_seconds.clear()

    print(f"load average after: {os.getloadavg()[0]:.2f}")
    print(
        f"median (least, most) of {args.repeats}; one layer in float32 is {layer / 2**20:.0f} MiB"
    )
    print(f"{'':26} {'ms':>22} {'CPU ms':>22} {'temporaries':>12} {'ms':>6} {'CPU':>6}")
    last = list(updates.values())[-1]
    for name, update in updates.items():
        cells, ratios = [], []
        for mine, theirs in (
            (update.seconds, last.seconds),
            (update.cpu_seconds, last.cpu_seconds),
        ):
            middle = statistics.median(mine)
            cells.append(f"{1e3 * middle:.0f} ({1e3 * min(mine):.0f}, {1e3 * max(mine):.0f})")
            ratios.append(f"{middle / statistics.median(theirs):.2f}")
        memory = f"{update.temporaries / 2**20:.0f} MiB"
        print(f"{name:26} {cells[0]:>22} {cells[1]:>22} {memory:>12} {ratios[0]:>6} {ratios[1]:>6}")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
