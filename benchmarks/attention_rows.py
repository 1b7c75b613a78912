"""Training attention under the conv-shaped mask: blocks of the grid against a dense mask.

    python -m benchmarks.attention_rows

Forward and backward of one attention (projections not included) of `--heads` heads of 64 in float32
with an 11 x 11 mask, on grids from 16 x 16 to 64 x 64 tokens. The two alternate; a figure is the
median over the repeats. Values and gradients are compared first: the largest difference, as a share
of the largest number of the array. Writes the plot.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

KERNEL = 11


def make(side: int, batch: int, heads: int):
    """Both programs of a grid and their arguments: `(attended, gradients)` of q, k, v."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from babeldraw.models.block_attention import make_blocks
    from babeldraw.models.masks import conv_mask

    rng = np.random.default_rng(0)
    shape = (4, batch, heads, side * side, 64)
    *inputs, weights = (jnp.asarray(part) for part in rng.normal(size=shape).astype(np.float32))
    inputs[0] = inputs[0] / 8  # the scaled query
    mask = jnp.asarray(conv_mask(side, side, KERNEL))

    def dense(query, keys, values):
        scores = jnp.where(mask, query @ keys.swapaxes(2, 3), jnp.finfo(jnp.float32).min)
        return jax.nn.softmax(scores, axis=-1) @ values

    def both(attend):
        @jax.jit
        def run(*inputs):
            attended, pull = jax.vjp(attend, *inputs)
            return attended, pull(weights)

        return lambda: jax.block_until_ready(run(*inputs))

    return {"dense": both(dense), "blocks": both(make_blocks(side, side, KERNEL).attend)}


def draw_plot(path: Path, sides, milliseconds) -> None:
    """Time against tokens, both axes logarithmic, with a line of slope 1."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    tokens = [side**2 for side in sides]
    for name, values in milliseconds.items():
        axes.loglog(tokens, values, marker="o", label=name)
    first = milliseconds["blocks"][0]
    linear = [first * count / tokens[0] for count in tokens]
    axes.loglog(tokens, linear, color="grey", linestyle=":", label="linear in tokens")
    axes.set(xlabel="tokens a picture", ylabel="forward and backward, ms")
    axes.set_xticks(tokens, [f"{side}x{side}" for side in sides])
    axes.minorticks_off()
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Prints the table and writes the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 24, 32, 48, 64])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", default="docs/attention_rows.png", metavar="FILE")
    args = parser.parse_args()
    # Before JAX starts: its thread pool has as many threads as the process may use cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    import jax
    import numpy as np

    print(
        f"jax {jax.__version__}, {args.threads} cores, batch {args.batch}, {args.heads} heads of "
        f"64, float32, mask {KERNEL} x {KERNEL}; load average before: {os.getloadavg()[0]:.2f}"
    )
    print(f"{'grid':>7} {'dense, ms':>22} {'blocks, ms':>22} {'ratio':>6} {'difference':>20}")
    medians: dict[str, list[float]] = {"dense": [], "blocks": []}
    for side in args.sides:
        programs = make(side, args.batch, args.heads)
        results = {name: jax.tree.leaves(run()) for name, run in programs.items()}
        difference = max(
            float(np.abs(one - other).max() / np.abs(one).max())
            for one, other in zip(results["dense"], results["blocks"], strict=True)
        )
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(args.repeats):
            for name, run in programs.items():
                began = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - began)
        cells = []
        for name, values in seconds.items():
            median = 1e3 * statistics.median(values)
            medians[name].append(median)
            span = f"({1e3 * min(values):.1f}-{1e3 * max(values):.1f})"
            cells.append(f"{median:.1f} {span}")
        ratio = medians["dense"][-1] / medians["blocks"][-1]
        print(
            f"{f'{side}x{side}':>7} {cells[0]:>22} {cells[1]:>22} {ratio:6.2f} {difference:20.1e}",
            flush=True,
        )
    draw_plot(Path(args.output), args.sides, medians)
    print(f"load average after: {os.getloadavg()[0]:.2f}; {args.output} is written")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
