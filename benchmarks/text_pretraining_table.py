"""The tables and the plot of `benchmarks.text_pretraining`, of the runs that are there:
`python -m benchmarks.text_pretraining_table DIR`.

Also looks for each held-out picture by its caption, with every text encoder that has seen pictures.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.text_pretraining import ARMS, load, objective_of, restore

NAMES = {
    "scratch": "from scratch",
    "masked": "masked tokens",
    "contrastive": "contrastive",
    "both": "both",
    "coca": "CoCa's text tower",
}
KINDS = {
    "heldout": "held-out people, English",
    "languages": "seen people, other languages",
    "synonyms": "seen people, synonyms",
}
Records = Mapping[str, Sequence[Mapping[str, Any]]]


def read(directory: Path) -> Records:
    """Arm -> results of its seeds; of seeds that all arms have."""
    found = {
        arm: {path.stem.rpartition("_")[2]: path for path in directory.glob(f"{arm}_*.json")}
        for arm in ARMS
    }
    seeds = sorted(set.intersection(*(set(paths) for paths in found.values())))
    return {
        arm: [json.loads(paths[seed].read_text()) for seed in seeds] for arm, paths in found.items()
    }


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else np.nan


def said(values: Sequence[float], form: str = ".2f") -> str:
    """Mean and standard deviation, in a cell."""
    mean, deviation = spread(values)
    return f"{mean:{form}}" if np.isnan(deviation) else f"{mean:{form}} ± {deviation:{form}}"


def table(records: Records) -> str:
    """A row an arm."""
    first = records["scratch"][0]
    heads = ["text encoder", "held-out loss, nats a token"]
    heads += [f"{title}: right of {first[kind]['n']}" for kind, title in KINDS.items()]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for arm, results in records.items():
        cells = [NAMES[arm], said([each["heldout_loss"] for each in results], ".3f")]
        cells += [said([each[kind]["right"] for each in results], ".1f") for kind in KINDS]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def retrieval(directory: Path, seeds: int) -> str:
    """Held-out pictures found by their English captions; each encoder as it was before stage 2."""
    from babeldraw.evaluation.text_encoder import find

    data = load(directory)
    count = len(data.train["image"])
    pairs = {
        "text_tokens": data.texts[count:, 0],
        "image": data.gallery.images[count:],
        "image_tokens": data.tokens[count:],
    }
    lines = [
        "| | text finds picture | among the best five | picture finds text |",
        "|---" * 4 + "|",
    ]
    chance = 0.0
    for arm in ("contrastive", "both", "coca"):
        objective, found = objective_of(arm, data, 100), []
        (name,) = objective.abstract_params
        entries = {key: pairs[key] for key in objective.batch_shapes(1) if key in pairs}
        for seed in range(seeds):
            params = restore(directory / f"{arm}_{seed}.npz")
            found.append(find(objective, {name: params}, entries))
        chance = found[0].chance
        shares = ("text_to_image", "text_to_image_5", "image_to_text")
        cells = [said([getattr(each, share) for each in found]) for share in shares]
        lines.append(f"| {NAMES[arm]} | {' | '.join(cells)} |")
    shares = f"{chance:.3f} | {5 * chance:.3f} | {chance:.3f}"
    lines.append(f"| chance, of {len(pairs['text_tokens'])} | {shares} |")
    return "\n".join(lines)


def draw(path: Path, records: Records) -> None:
    """Loss and shares of right prompts, with the standard deviation of the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 2.4])
    places = np.arange(len(records))
    for place, (arm, results) in zip(places, records.items(), strict=True):
        mean, deviation = spread([each["heldout_loss"] for each in results])
        left.bar(place, mean, 0.7, yerr=deviation, capsize=3, color=f"C{place}")
        for number, kind in enumerate(KINDS):
            shares = [each[kind]["right"] / each[kind]["n"] for each in results]
            mean, deviation = spread(shares)
            where = number + (place - 2) * 0.16
            label = NAMES[arm] if number == 0 else None
            right.bar(where, mean, 0.14, yerr=deviation, capsize=2, color=f"C{place}", label=label)
    losses = [each["heldout_loss"] for results in records.values() for each in results]
    left.set(xticks=[], title="held-out loss, nats a token (axis cut)")
    left.set_ylim(min(losses) - 0.15, max(losses) + 0.05)
    right.set(title="prompts drawn right, share", xticks=range(len(KINDS)), ylim=(0, 1))
    right.set_xticklabels(KINDS.values())
    right.legend(fontsize=8, title="text encoder", title_fontsize=8)
    figure.savefig(path, dpi=100)


def main(argv: list[str] | None = None) -> None:
    """Prints, and writes DIR/text_pretraining.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    args = parser.parse_args(argv)
    records = read(args.directory)
    seeds = len(records["scratch"])
    if not seeds:
        parser.error(f"{args.directory} has no seed with all of {', '.join(ARMS)} yet")
    print(f"{seeds} seeds\n\n{table(records)}\n\n{retrieval(args.directory, seeds)}")
    draw(args.directory / "text_pretraining.png", records)


if __name__ == "__main__":
    main()
