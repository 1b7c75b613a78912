"""Which codebooks stay in use? The code dimension and L2-normalisation of ViT-VQGAN, in small.

    python -m benchmarks.tokenizer_ablation [--steps 1000] [--seed 0]

Every case trains the tiny tokenizer with 256 codes on the shipped emoji, with L2 and VQ losses and
the same steps, and is evaluated on the same 512 held-out pictures: the share of all codes that
occur, their perplexity, and PSNR. The last case revives unused codes, as the patent does not.
arXiv 2110.04627, table 5, has for 8,192 codes on ImageNet: 95% at 32 dimensions, 96% at 8, 4% at
256, and 2% without L2-normalisation.

The weight of the VQ loss is 0.005, not the published 1.0, at which a run as short as this one ends
with two codes in use. Positions start at 0.02, at which more codes stay in use than at the recipe's
0.5 (docs/tokenizer.md).

A run that is in OUTPUT/results.json is not made again. Two quiet cores: about 1 minute a case.
"""

import argparse
import os
from pathlib import Path

from benchmarks.tokenizer_runs import Run, Runs

SETTINGS = [
    "VQ_WEIGHT = 0.005",
    "vit_vqgan.ViTVQGAN.position_stddev = 0.02",
    "CODEBOOK_SIZE = 256",
    "WARMUP_STEPS = 100",
    "tokenizer.Tokenizer.usage_alarm = 0.0",
    "loop.train.eval_batches = 64",
    "loop.train.pictures_every = 0",
]

CASES = {
    **{str(dim): [f"vit_vqgan.ViTVQGAN.code_dim = {dim}"] for dim in (8, 16, 32, 64, 256)},
    "32, no L2-norm": [
        "vit_vqgan.ViTVQGAN.code_dim = 32",
        "vit_vqgan.ViTVQGAN.l2_normalize = False",
    ],
    "32, revival": ["vit_vqgan.ViTVQGAN.code_dim = 32", "REVIVE_EVERY = 20"],
}
"""Name -> gin bindings."""


def report(runs: dict[str, Run]) -> str:
    """The table."""
    lines = [f"{'code dimension':>16} {'codes used':>11} {'perplexity':>11} {'PSNR, dB':>9}"]
    for name, run in runs.items():
        last = [record for record in run if record["split"] == "eval"][-1]
        lines.append(
            f"{name:>16} {last['codebook_usage']:>11.1%} {last['perplexity']:>11.1f} "
            f"{last['psnr']:>9.2f}"
        )
    return "\n".join(lines)


def plot(runs: dict[str, Run], path: Path) -> None:
    """Use of the codes and PSNR over the steps, a curve for each case."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    titles = {"codebook_usage": "share of codes used", "psnr": "PSNR, dB"}
    for axes, (metric, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for index, (name, run) in enumerate(runs.items()):
            points = [(r["step"], r[metric]) for r in run if r["split"] == "eval"]
            steps, values = zip(*points, strict=True)
            style = "--" if "," in name else "-"
            axes.plot(steps, values, style, color=f"C{index}", marker=".", label=name)
        axes.set(xlabel="step", title=f"{title} (held-out pictures)")
        axes.grid(alpha=0.3)
    axes.legend(title="code dimension", fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Makes the runs that are missing, then prints and draws all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--plot", type=Path, default=Path("docs/tokenizer_ablation.png"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    train = Runs(args.output)
    runs = {}
    for name, settings in CASES.items():
        steps = [f"TRAIN_STEPS = {args.steps}", f"EVAL_EVERY = {args.steps // 10}"]
        runs[name] = train(
            name.replace(", ", "-"), [*SETTINGS, *settings, *steps, f"SEED = {args.seed}"]
        )
    print("\n" + report(runs))
    plot(runs, args.plot)
    print(f"curves: {args.plot}")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
