"""Prompts are read more where a share of the training pictures is hidden: the quickstart's stage 2.

    bash launch/quickstart.sh
    python -m benchmarks.picture_dropout [--rates 0 0.2] [--seeds 0 1 2]

trains the quickstart's Transformer anew on the tokenizer that is there, once for each rate of
PICTURE_DROPOUT_RATE and each seed, with the recipe's steps (two minutes each on two cores), and
draws the held-out prompts, four samples each, without guidance and with a weight of 2. A row a
rate: mean and standard deviation over the seeds of the loss on held-out pictures, in nats a token,
of what the prompt is worth there (the loss without it minus the loss with it) and of the shares
that the emoji checks find all right. What was trained or drawn before is kept.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

GUIDANCE = (1, 2)


def run(*words: str) -> None:
    """A `babeldraw` command.

    Raises:
      SystemExit: it failed.
    """
    print("babeldraw", *words, flush=True)
    done = subprocess.run([sys.executable, "-m", "babeldraw.cli.main", *words], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def figures(quickstart: Path, folder: Path, rate: float, seed: int) -> dict[str, float]:
    """What a run comes to; it is trained and drawn where that has not been done."""
    recipe = quickstart / "text_to_image" / "recipe.gin"
    settings = [f"--gin.SEED={seed}", f"--gin.PICTURE_DROPOUT_RATE={rate}"]
    run("train", f"--gin_file={recipe}", *settings, f"--model_dir={folder}")
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    last = [record for record in records if record["split"] == "eval"][-1]
    found = {"held-out loss": last["loss"], "prompt gap": last["prompt_gap"]}
    for weight in GUIDANCE:
        output = folder / f"guidance-{weight}"
        if not (output / "report.json").exists():
            drawing = ["--cutoff=0.1", f"--guidance_weight={weight}", "--num_samples=4"]
            suite = ["evaluate", f"--checkpoint={folder}", "--suite=emoji", f"--output={output}"]
            run(*suite, *drawing)
        scores = json.loads((output / "report.json").read_text())["scores"]
        found[f"all right, guidance {weight}"] = scores["emoji checks"]["values"]["all"]["value"]
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quickstart", type=Path, default=Path("runs/quickstart"), metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path("runs/picture_dropout"), metavar="DIR")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    rows = {
        rate: [
            figures(args.quickstart, args.output / f"rate{rate:g}-seed{seed}", rate, seed)
            for seed in args.seeds
        ]
        for rate in args.rates
    }
    names = list(next(iter(rows.values()))[0])
    print(f"| rate | {' | '.join(names)} |")
    print("|---|" + "---|" * len(names))
    for rate, found in rows.items():
        cells = []
        for name in names:
            values = [one[name] for one in found]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.3f} ± {spread:.3f}")
        print(f"| {rate:g} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
