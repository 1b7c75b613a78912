"""What the emoji checks have right: of real pictures, of worse ones, and of wrong ones.

    python -m benchmarks.emoji_checks
    python -m benchmarks.emoji_checks --world people --network
    bash launch/quickstart.sh && python -m benchmarks.emoji_checks --run runs/quickstart

The first rows are the ceiling of anything drawn: held-out pictures that no judge was fitted on,
and what is left of them when they are blurred, moved, or sent through a JPEG file. Below are
pictures of another concept, style, gender and tone than is asked, which the judges have to refuse,
and the confusions of the first row. `--run` adds the tokenizer's reconstructions of the held-out
pictures, and what the model draws of seen and of held-out prompts, beside the nearest picture by
pixels. `--network` judges by EfficientNet-Lite0's features, too.
"""

import argparse
import io
import os
import time
from collections import Counter

import numpy as np
from PIL import Image

from babeldraw.evaluation.checks.judge import Judge
from babeldraw.evaluation.checks.looks import blurred, look
from babeldraw.evaluation.checks.world import ATTRIBUTES, SELECTIONS, shown, world
from babeldraw.evaluation.shares import wilson

SEEDS = (0, 1, 2)
COLUMNS = (*ATTRIBUTES, "all")


def through_jpeg(images):
    """At quality 50."""
    found = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=50)
        found.append(np.asarray(Image.open(file)))
    return np.stack(found)


def wrong_cells(known, rows, name):
    """Of each row the row of a cell that differs in one attribute, or None where there is none."""
    cells = {tuple(sorted(shown(cell).items())): index for index, cell in enumerate(known.cells)}
    found = []
    for row in rows:
        values = shown(known.cells[row])
        others = known.names[name] if name in values else []
        keys = (tuple(sorted({**values, name: each}.items())) for each in others)
        there = [cells[key] for key in keys if key in cells and cells[key] != row]
        found.append(there[row % len(there)] if there else None)
    return found


def show(what, verdicts):
    """A line: share of each attribute, and of all; the interval of all."""
    table = np.stack([verdicts[name] for name in ATTRIBUTES])
    scored = ~np.isnan(table)
    everything = np.where(scored, table, 1).all(axis=0)
    shares = [
        np.nanmean(row) if told.any() else np.nan for row, told in zip(table, scored, strict=True)
    ]
    low, high = wilson(float(everything.mean()), len(everything))
    cells = " ".join("     -" if np.isnan(share) else f"{share:6.3f}" for share in shares)
    print(f"{what:34} {cells} {everything.mean():6.3f} ({low:.3f} to {high:.3f})", flush=True)
    return everything


def heldout(known):
    """Rows of the held-out cells; of the world of all those of things, as people have their own."""
    of_things = ~known.people if known.selection == "all" else True
    return np.flatnonzero(~known.is_training & of_things).tolist()


def confusions(judge, rows):
    """What held-out pictures are taken for, a line an attribute."""
    known = judge.world
    people = known.people[rows]
    labels = judge.labels(known.images[rows], people)
    asked = [shown(known.cells[row]) for row in rows]
    verdicts = judge(known.images[rows], asked)
    for name in ATTRIBUTES:
        values = known.names[name]
        wrong = Counter(
            f"{each['style']} {each[name]} for {values[label]}"
            for each, label, right in zip(asked, labels[name], verdicts[name], strict=True)
            if right == 0
        )
        if wrong:
            said = ", ".join(f"{what} ({count})" for what, count in wrong.most_common(12))
            print(f"  {name}: {said}")


def ceilings(judge, reconstruct=None):
    """Prints the rows of real, worse and wrong pictures of a world's held-out cells."""
    known = judge.world
    rows = heldout(known)
    asked = [shown(known.cells[row]) for row in rows]
    real = known.images[rows]
    print(f"{'':34} " + " ".join(f"{name:>6.6}" for name in COLUMNS))
    show(f"{len(rows)} real, held out", judge(real, asked))
    show("blurred by 0.7 px", judge(blurred(real, 0.7), asked))
    show("blurred by 1.5 px", judge(blurred(real, 1.5), asked))
    show("moved by 1 px", judge(np.roll(real, 1, axis=2), asked))
    show("JPEG, quality 50", judge(through_jpeg(real), asked))
    if reconstruct:
        show("the tokenizer's reconstruction", judge(reconstruct(real), asked))
    for name in ATTRIBUTES:
        wrong = wrong_cells(known, rows, name)
        kept = [index for index, other in enumerate(wrong) if other is not None]
        if not kept:
            continue
        images = known.images[[wrong[index] for index in kept]]
        show(f"{len(kept)} of another {name}", judge(images, [asked[index] for index in kept]))
    grey = np.full_like(real, 128)
    show("grey", judge(grey, asked))
    alike = judge.undecidable(asked)
    print(f"gender: {alike} of {len(rows)} left out, whose picture is another gender's, too")
    print("confusions of held-out pictures:")
    confusions(judge, rows)


def drawn(judge, run):
    """Prints what a quickstart's model draws, seed by seed, and all together."""
    from babeldraw.evaluation.quickstart import CUTOFF, SEEN_PROMPTS
    from babeldraw.evaluation.retrieval import top1
    from benchmarks.quickstart_run import open_quickstart

    quickstart = open_quickstart(f"{run}/text_to_image")
    order = np.random.default_rng(0).permutation(len(quickstart.train["image"]))
    seen, count = order[:SEEN_PROMPTS], len(quickstart.train["image"])
    heldout = np.arange(len(quickstart.heldout["image"]))
    splits = {
        "seen": (quickstart.train, seen, seen),
        "held-out": (quickstart.heldout, heldout, count + heldout),
    }
    by_caption = {cell.caption: shown(cell) for cell in judge.world.cells}
    draw = quickstart.sampler(cutoff=CUTOFF)
    print(f"{'':34} " + " ".join(f"{name:>6.6}" for name in COLUMNS))
    for split, (columns, rows, places) in splits.items():
        asked = [by_caption[caption] for caption in columns["caption"][rows]]
        verdicts, nearest = [], []
        for seed in SEEDS:
            images = draw(columns["text_tokens"][rows], seed=seed)[:, 0]
            verdicts.append(judge(images, asked))
            everything = show(f"{split}, {len(rows)} prompts, seed {seed}", verdicts[-1])
            concept, cell = top1(images, places, quickstart.gallery)
            nearest.append((concept, cell, everything))
        mean = {n: np.nanmean([each[n] for each in verdicts], axis=0) for n in ATTRIBUTES}
        shares = " ".join(f"{np.nanmean(mean[name]):6.3f}" for name in ATTRIBUTES)
        concept, cell, everything = np.mean(nearest, axis=(0, 2))
        low, high = wilson(float(everything), len(rows))
        print(f"{split}, mean of {len(SEEDS)} seeds".ljust(34), shares, end=" ")
        print(f"{everything:6.3f} ({low:.3f} to {high:.3f})")
        print(f"  nearest by pixels: concept {concept:.3f}, concept and style {cell:.3f}")


def with_network(read):
    """`read`, EfficientNet-Lite0's features, and both together, by name."""
    import jax
    import jax.numpy as jnp

    from babeldraw.models.feature_networks import EfficientNetLite0
    from babeldraw.weights import feature_weights

    params = feature_weights.efficientnet_lite0()
    network = jax.jit(lambda images: EfficientNetLite0()(params, images.astype(jnp.float32) / 255))

    def features(images):
        size = 32
        parts = np.array_split(images, -(-len(images) // size))
        padded = (np.resize(part, (size, *part.shape[1:])) for part in parts)
        found = [np.asarray(network(p))[: len(q)] for p, q in zip(padded, parts, strict=True)]
        return np.concatenate(found).astype(np.float64) / 0.3

    return {
        "EfficientNet-Lite0": features,
        "pixels, colours and EfficientNet-Lite0": lambda images: np.concatenate(
            [read(images), features(images)], axis=1
        ),
    }


def main():
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--world", choices=SELECTIONS, default="quickstart")
    parser.add_argument("--run", metavar="DIR", help="a quickstart's folder")
    parser.add_argument("--network", action="store_true")
    args = parser.parse_args()
    known = world(args.world)
    began = time.perf_counter()
    judge = Judge(known)
    judge(known.images[:1], [shown(known.cells[heldout(known)[0]])])  # fits what is needed
    fitted = time.perf_counter() - began
    print(f"{args.world}: {len(known.cells)} pictures, judge fitted in {fitted:.1f} s")
    reconstruct = None
    if args.run:
        from babeldraw.cli.support.runs import open_run

        reconstruct = open_run(f"{args.run}/tokenizer").codec(48).reconstruct
    ceilings(judge, reconstruct)
    if args.network:
        rows = heldout(known)
        asked = [shown(known.cells[row]) for row in rows]
        for name, read in with_network(look).items():
            show(name, Judge(known, read)(known.images[rows], asked))
    if args.run:
        drawn(judge, args.run)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
