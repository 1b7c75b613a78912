"""What guidance buys and costs: retrieval accuracy and diversity for weights from 1 to 5.

    bash launch/quickstart.sh
    python -m benchmarks.guidance_sweep --run runs/quickstart/text_to_image

Draws each held-out prompt of the quickstart, and as many seen ones, with and without a cutoff. A
sample is right when the nearest of all real pictures is the one that its prompt describes (see
evaluation/retrieval.py). Diversity is the mean distance between two samples of a prompt: the root
mean square difference of their 16 x 16 thumbnails, in levels of 255. Prints the table; draws the
plot with a prompt's samples at each weight below it.
"""

import argparse
import itertools
import json
import os
from pathlib import Path

CUTOFFS = (0.0, 0.1)
SHOWN_PROMPTS = 4


def diversity(images) -> float:
    """Of `uint8[prompts, samples, height, width, 3]`."""
    import numpy as np

    from babeldraw.evaluation.retrieval import thumbnails

    prompts, samples = images.shape[:2]
    small = thumbnails(images.reshape(-1, *images.shape[2:])).reshape(prompts, samples, -1)
    pairs = itertools.combinations(range(samples), 2)
    distances = [np.sqrt(np.mean((small[:, a] - small[:, b]) ** 2, axis=1)) for a, b in pairs]
    return float(np.mean(distances))


def draw_plot(path: Path, records, weights, shown) -> None:
    """Curves above; below, the first sample of some held-out prompts (rows) at each weight."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8.4), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1, 1.5])
    panels = top.subplots(1, 2)
    for axes, name in zip(panels, ("right", "diversity"), strict=True):
        for split, cutoff in itertools.product(("held-out", "seen"), CUTOFFS):
            points = [r for r in records if r["split"] == split and r["cutoff"] == cutoff]
            axes.plot(
                [r["weight"] for r in points],
                [r[name] for r in points],
                marker="o",
                color="C0" if split == "held-out" else "C1",
                linestyle="-" if cutoff else "--",
                label=f"{split}, {f'cutoff {cutoff}' if cutoff else 'no cutoff'}",
            )
        axes.set(xlabel="guidance weight")
    panels[0].set(title="share of samples that are right", ylim=(0, 1.02))
    panels[1].set(title="diversity: RMS between samples, levels")
    panels[1].set_ylim(bottom=0)
    panels[0].legend(fontsize=8)
    for part, cutoff in zip(bottom.subfigures(1, 2), CUTOFFS, strict=True):
        part.suptitle("no cutoff" if not cutoff else f"cutoff {cutoff}", fontsize=10)
        grid = part.subplots(SHOWN_PROMPTS, len(weights))
        for column, weight in enumerate(weights):
            for row in range(SHOWN_PROMPTS):
                axes = grid[row, column]
                axes.imshow(shown[weight, cutoff][row], interpolation="nearest")
                axes.set(xticks=[], yticks=[])
            grid[0, column].set_title(f"{weight:g}", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> None:
    """Prints the table and writes the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="runs/quickstart/text_to_image", metavar="DIR")
    parser.add_argument("--output", default="docs/guidance_sweep.png", metavar="FILE")
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0, 2.0, 3.0, 4.0, 5.0])
    parser.add_argument("--num_samples", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    import numpy as np

    from babeldraw.evaluation.retrieval import top1
    from benchmarks.quickstart_run import open_quickstart

    quickstart = open_quickstart(args.run)
    count = len(quickstart.heldout["image"])
    seen = np.random.default_rng(args.seed).permutation(len(quickstart.train["image"]))[:count]
    splits = {
        "held-out": (
            quickstart.heldout["text_tokens"],
            len(quickstart.train["image"]) + np.arange(count),
        ),
        "seen": (quickstart.train["text_tokens"][seen], seen),
    }
    rows = np.linspace(0, count - 1, SHOWN_PROMPTS).astype(int)
    records, shown = [], {}
    print(f"{count} prompts of each kind, {args.num_samples} samples each, seed {args.seed}")
    print(f"{'weight':>6} {'cutoff':>6} {'prompts':9} {'right':>6} {'concept':>8} {'diversity':>9}")
    for weight, cutoff in itertools.product(args.weights, CUTOFFS):
        draw = quickstart.sampler(guidance_weight=weight, cutoff=cutoff)
        for split, (text, wanted) in splits.items():
            images = draw(text, num_samples=args.num_samples, seed=args.seed)
            flat = images.reshape(-1, *images.shape[2:])
            concept, cell = top1(flat, np.repeat(wanted, args.num_samples), quickstart.gallery)
            record = {
                "weight": weight,
                "cutoff": cutoff,
                "split": split,
                "right": float(cell.mean()),
                "concept": float(concept.mean()),
                "diversity": diversity(images),
            }
            records.append(record)
            if split == "held-out":
                shown[weight, cutoff] = images[rows, 0]
            print(
                f"{weight:6} {cutoff:6} {split:9} {record['right']:6.3f} {record['concept']:8.3f} "
                f"{record['diversity']:9.2f}",
                flush=True,
            )
    path = Path(args.output)
    draw_plot(path, records, args.weights, shown)
    print(json.dumps({"real pictures": diversity(_pairs(quickstart.heldout["image"]))}))
    print(f"{path} is written")


def _pairs(images):
    """Each held-out picture beside another one: the distance of unlike pictures, to compare."""
    import numpy as np

    return np.stack([images, np.roll(images, len(images) // 3, axis=0)], axis=1)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
