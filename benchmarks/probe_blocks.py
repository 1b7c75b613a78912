"""What each block of a model of image tokens knows: `python -m benchmarks.probe_blocks DIR`.

Reads the runs that `python -m benchmarks.class_conditional DIR` has made, of 12 roles and of
nothing, over 3 seeds (those that are missing are trained), and trains a softmax layer on every
block for role, gender, tone and style of the emoji people, beside the blocks of their tokenizer's
encoder and raw pixels. What is measured stays in DIR. Prints the table; draws the plot.
"""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.class_runs import train_all

FEATURES = ("role", "gender", "tone", "style")
LABELS = {"classes": "VIM, trained with roles", "none": "VIM, trained without labels"}
TASK = "emoji_people_32"
"""78 roles: 3,510 pictures to train on and 702 held out."""


def measure(run: Any, splits: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """For each network and feature, by block: accuracy held out, and where rates were searched."""
    from babeldraw.evaluation.probe import fit_probe, pixels

    readers = {**run.features(54), "pixels": pixels}
    found: dict[str, Any] = {}
    for network in names:
        read = {split: readers[network](columns["image"]) for split, columns in splits.items()}
        for feature in FEATURES:
            classes, train = np.unique(splits["train"][feature], return_inverse=True)
            heldout = np.searchsorted(classes, splits["heldout_people"][feature])
            probe = fit_probe(read["train"], train, len(classes))
            accuracy = probe.accuracy(read["heldout_people"], heldout)
            found[f"{network}, {feature}"] = {
                "heldout": accuracy.tolist(),
                "searched": probe.searched.tolist(),
                "classes": len(classes),
                "chance": float(np.mean(heldout == np.bincount(train).argmax())),
            }
            print(network, feature, accuracy.round(3), flush=True)
    return found


def draw_plot(path: Path, records: Mapping[str, Any], beside: Mapping[str, Any]) -> None:
    """A panel for each feature."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7), layout="constrained")
    for axes, feature in zip(figure.subplots(2, 2).flat, FEATURES, strict=True):
        for kind, label in LABELS.items():
            values = np.array([each[f"decoder, {feature}"]["heldout"] for each in records[kind]])
            blocks = np.arange(1, values.shape[1] + 1)
            deviation = values.std(axis=0, ddof=1)
            axes.errorbar(
                blocks, values.mean(axis=0), deviation, marker="o", capsize=3, label=label
            )
        of_tokenizer, of_pixels = (beside[f"{name}, {feature}"] for name in ("tokenizer", "pixels"))
        axes.axhline(of_tokenizer["heldout"][-1], color="C2", label="tokenizer's encoder")
        axes.axhline(of_pixels["heldout"][0], color="0.4", linestyle="--", label="raw pixels")
        axes.axhline(of_pixels["chance"], color="0.7", linestyle=":", label="most frequent class")
        classes = of_pixels["classes"]
        axes.set(xlabel="block", xticks=blocks, title=f"{feature} ({classes})", ylim=(0, 1.03))
    figure.axes[0].legend(fontsize=8)
    figure.axes[0].set_ylabel("accuracy, held out")
    figure.savefig(path, dpi=100)


def table(records: Mapping[str, Any], beside: Mapping[str, Any]) -> str:
    """Means and standard deviations over the seeds; and how a middle block does beside the last."""
    blocks = len(records["none"][0]["decoder, role"]["heldout"])
    numbers = " | ".join(f"block {number}" for number in range(1, blocks + 1))
    lines = [
        f"| | {numbers} | tokenizer | pixels | chance |",
        "|---" * (blocks + 4) + "|",
    ]
    for feature in FEATURES:
        for kind, label in LABELS.items():
            values = np.array([each[f"decoder, {feature}"]["heldout"] for each in records[kind]])
            cells = [
                f"{mean:.1%} ± {deviation:.1%}"
                for mean, deviation in zip(values.mean(0), values.std(0, ddof=1), strict=True)
            ]
            of_tokenizer = beside[f"tokenizer, {feature}"]["heldout"][-1]
            of_pixels = beside[f"pixels, {feature}"]
            cells += [f"{of_tokenizer:.1%}", f"{of_pixels['heldout'][0]:.1%}"]
            cells.append(f"{of_pixels['chance']:.1%}")
            lines.append(f"| {feature}, {label} | {' | '.join(cells)} |")
    lines += [
        "",
        "| | middle block, as searched | it, held out | last, held out |",
        "|---|---|---|---|",
    ]
    for feature in FEATURES:
        for kind, label in LABELS.items():
            own = [each[f"decoder, {feature}"] for each in records[kind]]
            middle = [int(np.argmax(each["searched"][:-1])) for each in own]
            of_middle = [each["heldout"][block] for each, block in zip(own, middle, strict=True)]
            of_last = [each["heldout"][-1] for each in own]
            said = ", ".join(str(block + 1) for block in middle)
            lines.append(
                f"| {feature}, {label} | {said} | {np.mean(of_middle):.1%} ± "
                f"{np.std(of_middle, ddof=1):.1%} | {np.mean(of_last):.1%} ± "
                f"{np.std(of_last, ddof=1):.1%} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Measures what is not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("docs/probe_blocks.png"))
    args = parser.parse_args()
    runs = train_all(args.directory, args.seeds)
    from babeldraw.cli.support.runs import open_run
    from babeldraw.data.streams.pipeline import Dataset

    lengths = {"text": 20, "image": 32}
    splits = {
        split: Dataset(TASK, lengths, split, shuffle=False).examples()
        for split in ("train", "heldout_people")
    }

    def measured(name: str, run: Path, networks: tuple[str, ...]) -> Any:
        path = args.directory / f"probed_{name}.json"
        if not path.exists():
            path.write_text(json.dumps(measure(open_run(str(run)), splits, networks), indent=1))
        return json.loads(path.read_text())

    records = {
        kind: [measured(run.name, run, ("decoder",)) for run in own] for kind, own in runs.items()
    }
    beside = measured("beside", runs["none"][0], ("tokenizer", "pixels"))
    draw_plot(args.output, records, beside)
    print(table(records, beside))


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
