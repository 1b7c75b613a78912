"""What attention costs in memory on a TPU: dense, in blocks of the grid, and by the splash kernel.

    python -m benchmarks.attention

Compiles forward and backward of one attention (projections not included) for one TPU device, on any
machine: `--heads` heads of 64 in bfloat16 under an 11 x 11 mask, `--batch` pictures, on grids from
16 x 16 to 64 x 64 tokens. Prints what the compiled program moves to and from the chip's memory by
XLA's count, in which a kernel reads each argument once, and what it keeps there beside arguments
and results. Nothing is run and nothing timed. Writes the plot.
"""

import argparse
import math
from pathlib import Path

KERNEL = 11
HEAD_DIM = 64


def compile_path(path: str, side: int, batch: int, heads: int, mesh) -> tuple[float, float]:
    """Bytes moved and bytes kept by one way to compute attention."""
    import jax
    import jax.numpy as jnp

    from babeldraw.models import attention_paths, dense_attention
    from babeldraw.models.masks import GridMask
    from babeldraw.parallel.rules import placing, replicated, training_rules

    array = jax.ShapeDtypeStruct(
        (batch, heads, side * side, HEAD_DIM), jnp.bfloat16, sharding=replicated(mesh)
    )
    grid = GridMask(side, side, KERNEL)

    def attend(query, keys, values):
        mask = attention_paths.over_grid(path, grid, batch, heads)
        if path == "dense":
            return dense_attention.attend(query, keys, values, mask)
        return mask.attend(query, keys, values)

    def both(weights, *inputs):
        attended, pull = jax.vjp(attend, *inputs)
        return attended, pull(weights)

    with placing(mesh, training_rules()):
        program = jax.jit(both).lower(array, array, array, array).compile()
    cost, memory = program.cost_analysis(), program.memory_analysis()
    assert cost is not None and memory is not None
    return cost["bytes accessed"], memory.temp_size_in_bytes


def draw_plot(path: Path, sides, moved, kept) -> None:
    """Both over tokens, all axes logarithmic; without the points where nothing is kept."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    tokens = [side**2 for side in sides]
    labels = ("moved, forward and backward, GB", "kept beside arguments and results, GB")
    for axes, label, table in zip(figure.subplots(1, 2), labels, (moved, kept), strict=True):
        for name, values in table.items():
            axes.loglog(
                tokens, [value / 1e9 or math.nan for value in values], marker="o", label=name
            )
        axes.set(xlabel="tokens a picture", ylabel=label)
        axes.set_xticks(tokens, [f"{side}x{side}" for side in sides])
        axes.minorticks_off()
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Prints the table and writes the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[16, 24, 32, 48, 64])
    parser.add_argument("--topology", default="v5e:2x2")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--output", default="docs/attention.png", metavar="FILE")
    args = parser.parse_args()
    from babeldraw.planning.environment import prepare_environment

    prepare_environment()
    import jax

    from babeldraw.parallel.mesh import make_mesh
    from babeldraw.planning.topologies import find_topology, topology_devices

    mesh = make_mesh({}, topology_devices(find_topology(args.topology))[:1])
    paths = ("dense", "blocks", "splash")
    print(
        f"jax {jax.__version__}, one device of {args.topology}, batch {args.batch}, {args.heads} "
        f"heads of {HEAD_DIM}, bfloat16, mask {KERNEL} x {KERNEL}"
    )
    print(f"{'':>7}" + f"{'moved, GB':>30}" + f"{'kept, MiB':>30}")
    print(f"{'grid':>7}" + "".join(f"{path:>10}" for path in 2 * paths))
    moved: dict[str, list[float]] = {path: [] for path in paths}
    kept: dict[str, list[float]] = {path: [] for path in paths}
    for side in args.sides:
        for path in paths:
            moved_now, kept_now = compile_path(path, side, args.batch, args.heads, mesh)
            moved[path].append(moved_now)
            kept[path].append(kept_now)
        cells = [f"{moved[path][-1] / 1e9:10.3f}" for path in paths]
        cells += [f"{kept[path][-1] / 2**20:10.0f}" for path in paths]
        print(f"{f'{side}x{side}':>7}" + "".join(cells), flush=True)
    draw_plot(Path(args.output), args.sides, moved, kept)
    print(f"{args.output} is written")


if __name__ == "__main__":
    main()
