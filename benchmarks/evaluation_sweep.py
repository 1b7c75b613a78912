"""Does the evaluation tell better from worse, and what do guidance and reranking buy by it?

    bash launch/quickstart.sh
    python -m benchmarks.evaluation_sweep runs/quickstart --output runs/evaluation_sweep \\
        --others runs/fewer_steps runs/more_steps --chooser runs/coca

Evaluates with `babeldraw evaluate --suite emoji` (72 prompts that training never saw), each from
seeds 0, 1 and 2, cutoff 0.1: the quickstart's model and --others beside it (such as the same recipe
with another TRAIN_STEPS, or a copy of the run without its latest checkpoint); the quickstart's at
guidance weights from 1 to 4; and with --chooser (a CoCa run, gin/runs/coca_small.gin) the best of
1, 4 and 16 samples by it. Prints a table of each, means over seeds with their standard error, and
the differences from the quickstart's model, seed 0, paired by prompt. Goes on where it was stopped.
Half a minute an evaluation on two quiet cores.
"""

import argparse
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SEEDS = (0, 1, 2)
WEIGHTS = (1.0, 2.0, 3.0, 4.0)
SAMPLES = (1, 4, 16)
CUTOFF = "--cutoff=0.1"


def run(line: Sequence[str]) -> None:
    """A command of babeldraw."""
    from babeldraw.cli.main import main

    print("babeldraw", shlex.join(line), flush=True)
    if main(list(line)):
        raise SystemExit(1)


def evaluate(model: Path, output: Path, *options: str) -> list[Path]:
    """A report for each seed, which is made where it is missing."""
    found = []
    for seed in SEEDS:
        folder = output / f"seed_{seed}"
        if not (folder / "report.json").exists():
            line = ["evaluate", f"--checkpoint={model}", "--suite=emoji", f"--output={folder}"]
            run([*line, f"--seed={seed}", CUTOFF, *options])
        found.append(folder)
    return found


def values(folder: Path) -> dict[str, float]:
    """All numbers of a report."""
    from babeldraw.evaluation.suites.report import flat

    scores = json.loads((folder / "report.json").read_text())["scores"]
    return {name: value["value"] for name, value in flat(scores).items()}


def table(rows: Mapping[str, Sequence[Path]]) -> str:
    """Mean over seeds and its standard error, a row each."""
    import numpy as np

    found = {name: [values(folder) for folder in folders] for name, folders in rows.items()}
    columns = list(next(iter(found.values()))[0])
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, each in found.items():
        cells = []
        for column in columns:
            numbers = np.array([one[column] for one in each])
            error = numbers.std(ddof=1) / len(numbers) ** 0.5
            cells.append(f"{numbers.mean():.4g} +- {error:.2g}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def differences(first: Path, others: Mapping[str, Path]) -> str:
    """Of each score with the interval of `babeldraw report`, seed 0."""
    from babeldraw.evaluation.suites import comparison, read_reports

    lines = ["| | score | difference | 95% interval | paired |", "|---|---|---|---|---|"]
    for name, folder in others.items():
        reports = read_reports.read_all([str(first), str(folder)])
        for each in comparison.differences(*reports):
            ends = (
                ""
                if each.interval is None
                else f"{each.interval[0]:+.3g} to {each.interval[1]:+.3g}"
            )
            paired = "yes" if each.n else "no"
            lines.append(f"| {name} | {each.name} | {each.value:+.3g} | {ends} | {paired} |")
    return "\n".join(lines)


def speed(folder: Path) -> dict[str, Any]:
    """What the report says of it."""
    made: dict[str, Any] = json.loads((folder / "report.json").read_text())["made"]
    names = ("pictures_a_second_drawn_and_scored", "share_of_time_in_scoring", "seconds")
    return {name: made[name] for name in names}


def main() -> None:
    """Trains, evaluates, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("quickstart", type=Path, help="what `babeldraw quickstart` left")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--others", type=Path, nargs="*", default=[], metavar="DIR", help="worse and better runs"
    )
    parser.add_argument("--chooser", type=Path, metavar="DIR", help="a CoCa run")
    args = parser.parse_args()
    model = args.quickstart / "text_to_image"
    plain = evaluate(model, args.output / "guidance_1")
    sections: list[str] = []

    rows = {"quickstart": plain}
    for other in args.others:
        rows[other.name] = evaluate(other, args.output / f"of_{other.name}")
    others = {name: folders[0] for name, folders in rows.items() if name != "quickstart"}
    sections += [table(rows), differences(plain[0], others)] if others else []

    guided = {
        f"guidance {weight:g}": evaluate(
            model, args.output / f"guidance_{weight:g}", f"--guidance_weight={weight}"
        )
        for weight in WEIGHTS
    }
    sections.append(table(guided))
    if args.chooser:
        chosen = {"best of 1": plain}
        for count in SAMPLES[1:]:
            options = (f"--num_samples={count}", f"--rerank={args.chooser}")
            chosen[f"best of {count}"] = evaluate(model, args.output / f"best_of_{count}", *options)
        sections.append(table(chosen))
    print("\n\n".join(sections))
    print(f"\n{speed(plain[0])}")


if __name__ == "__main__":
    main()
