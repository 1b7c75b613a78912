"""Adversarial training: does it stay finite, and what does it buy?

    python -m benchmarks.tokenizer_gan stability [--steps 2000] [--seeds 3]
    python -m benchmarks.tokenizer_gan losses [--steps 1000]

`stability`: the tiny tokenizer with all five losses on the shipped emoji, in float32 and in
bfloat16 (both networks), from several seeds. Prints how many steps were skipped because a loss or
gradient was not finite, and the discriminator's accuracies at the end.
`losses`: L2 and VQ alone, with the perceptual, and with the adversarial loss too: the same steps,
data and seed; `babeldraw evaluate` on the same held-out pictures, Frechet distance at the same n.

Runs are kept in OUTPUT and not made again.
"""

import argparse
import contextlib
import io
import json
import os
from pathlib import Path

from benchmarks.tokenizer_runs import Runs

ALL_LOSSES = ["PERCEPTUAL_WEIGHT = 0.1", "ADVERSARIAL_WEIGHT = 0.1", "LOGIT_LAPLACE_WEIGHT = 0.1"]
QUIET = ["loop.train.pictures_every = 0", "loop.train.eval_batches = 16"]


PERCEPTUAL = ["PERCEPTUAL_WEIGHT = 0.03"]
ADVERSARIAL = [
    "ADVERSARIAL_WEIGHT = 0.3",
    "adversarial.Adversary.adaptive = True",
    "adversarial.Adversary.ramp_steps = 500",
]


def stability(train: Runs, steps: int, seeds: int) -> str:
    """Every run of every dtype; the table."""
    lines = [
        f"{'dtype':9} {'seed':>4} {'steps':>6} {'PSNR, dB':>9} {'codes':>6} {'skipped':>7}  "
        "real / made accuracy"
    ]
    for dtype in ("float32", "bfloat16"):
        for seed in range(seeds):
            settings = [
                *ALL_LOSSES,
                *QUIET,
                f"TRAIN_STEPS = {steps}",
                f"EVAL_EVERY = {steps // 4}",
                f"SEED = {seed}",
                "BATCH_SIZE = 4",
                "VQ_WEIGHT = 0.02",
                "REVIVE_EVERY = 20",
                f"vit_vqgan.ViTVQGAN.dtype = {dtype!r}",
                f"DISCRIMINATOR_DTYPE = {dtype!r}",
            ]
            run = train(f"{dtype}-{seed}", settings)
            last = [record for record in run if record["split"] == "eval"][-1]
            skipped = sum(record.get("skipped_steps", 0) for record in run)
            lines.append(
                f"{dtype:9} {seed:>4} {last['step']:>6} {last['psnr']:>9.2f} "
                f"{last['codebook_usage']:>6.1%} {skipped:>7.0f}  {last['real_accuracy']:.0%} / "
                f"{last['made_accuracy']:.0%}"
            )
    return "\n".join(lines)


def losses(train: Runs, output: Path, steps: int, limit: int) -> str:
    """Both runs, evaluated; the table."""
    from babeldraw.cli.main import main as babeldraw

    cases = {
        "L2": [],
        "L2, perceptual": PERCEPTUAL,
        "L2, perceptual, adversarial": PERCEPTUAL + ADVERSARIAL,
    }
    lines = [
        f"{'losses':28} {'PSNR, dB':>9} {'SSIM':>7} {'perceptual':>11} {'Frechet':>8} {'n':>6}"
    ]
    for name, weights in cases.items():
        directory = name.replace(", ", "-")
        settings = [
            *weights,
            *QUIET,
            "EMA_DECAY = 0.99",
            f"TRAIN_STEPS = {steps}",
            f"EVAL_EVERY = {steps // 4}",
            "VQ_WEIGHT = 0.02",
            "REVIVE_EVERY = 20",
            "DISCRIMINATOR_DTYPE = 'float32'",
        ]
        train(directory, settings, keep=True)
        checkpoint = output / directory
        report = checkpoint / "evaluation" / "report.json"
        if not report.exists():
            with contextlib.redirect_stdout(io.StringIO()):
                arguments = ["evaluate", f"--checkpoint={checkpoint}", f"--limit={limit}"]
                if babeldraw(arguments):
                    raise SystemExit("the evaluation failed")
        r = json.loads(report.read_text())
        lines.append(
            f"{name:28} {r['psnr']:>9.2f} {r['ssim']:>7.4f} {r['perceptual']:>11.4f} "
            f"{r['frechet']:>8.2f} {r['images']:>6}"
        )
    return "\n".join(lines)


def main() -> None:
    """The chosen table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=["stability", "losses"])
    parser.add_argument("--output", type=Path, help="default: runs/gan_TABLE")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=400, help="held-out pictures")
    args = parser.parse_args()
    output = args.output or Path(f"runs/gan_{args.table}")
    train = Runs(output)
    if args.table == "stability":
        table = stability(train, args.steps or 2000, args.seeds)
    else:
        table = losses(train, output, args.steps or 1000, args.limit)
    print("\n" + table)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
