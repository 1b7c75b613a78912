"""What the decoder reads: the raster's last token, a row's start, or that and the token above.

    bash launch/quickstart.sh
    python -m benchmarks.decoder_inputs [--seeds 3] [--tokenizer runs/quickstart/tokenizer]

Trains stage 2 of the quickstart (gin/runs/quickstart_text_to_image.gin) for its whole length with
each `decoder_inputs`, from several seeds, on the tokens of one tokenizer. Prints the loss on seen
and on held-out pictures, its least value in any evaluation of the run, and how many samples are
right (as the quickstart counts them); means over seeds, and the difference to `raster` seed by
seed. Draws held-out prompts with each model of seed 0. Runs that are in OUTPUT/results.json are not
made again.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

import numpy as np

INPUTS = ("raster", "row_start", "row_start_above")
GIN_FILE = "gin/runs/quickstart_text_to_image.gin"
COLUMNS = {
    "heldout_loss": "held out",
    "least_heldout_loss": "least",
    "loss": "seen",
    "heldout_cell_top1": "right, held out",
    "train_cell_top1": "right, seen",
}
"""The columns of the table: keys of a run's record, and titles."""
PICTURES = 12


def one(inputs: str, seed: int, tokenizer: str, model_dir: Path) -> dict[str, float]:
    """Trains and scores one model."""
    from babeldraw.cli.support.machines import load_machine_file, set_environment
    from babeldraw.cli.support.recipes import train_recipe
    from babeldraw.evaluation.quickstart import CUTOFF, evaluate
    from babeldraw.evaluation.reporting import reading
    from benchmarks.quickstart_run import open_quickstart

    machine = load_machine_file("configs/cpu.py")
    set_environment(machine)
    shutil.rmtree(model_dir, ignore_errors=True)
    bindings = [
        f"MODEL_DIR = {str(model_dir)!r}",
        f"SEED = {seed}",
        f"TOKENIZER_CHECKPOINT = {tokenizer!r}",
        f"DECODER_INPUTS = {inputs!r}",
    ]
    train_recipe([GIN_FILE], bindings, machine)
    opened = open_quickstart(str(model_dir))
    run = opened.run
    results = evaluate(
        run.codec(48),
        opened.sampler(cutoff=CUTOFF),
        opened.train,
        opened.heldout,
        run.train_dataset.captions(),
        seed,
    ).spoken
    assert results is not None, "stage 2 has texts"
    evals = [loss for _, loss in reading.read(str(model_dir)).series["loss"]["eval"]]
    return {
        "heldout_loss": results.heldout_loss,
        "least_heldout_loss": min(evals),
        "loss": results.loss,
        "heldout_cell_top1": float(results.heldout.cell_top1.mean()),
        "train_cell_top1": float(results.seen.cell_top1.mean()),
    }


def draw_grid(output: Path, path: Path) -> None:
    """Real held-out pictures, and below them what each model of seed 0 draws."""
    from babeldraw.evaluation.quickstart import CUTOFF
    from babeldraw.training.watching.pictures import write_grid
    from benchmarks.quickstart_run import open_quickstart

    rows: list[np.ndarray] = []
    for inputs in INPUTS:
        opened = open_quickstart(str(output / f"{inputs}-0"))
        heldout = opened.heldout
        shown = np.linspace(0, len(heldout["image"]) - 1, PICTURES).astype(int)
        rows = rows or [heldout["image"][shown]]
        rows.append(opened.sampler(cutoff=CUTOFF)(heldout["text_tokens"][shown], seed=0)[:, 0])
    write_grid(path, np.stack(rows))


def table(records: dict[str, dict[str, float]], seeds: int) -> str:
    """Every run, then the mean of each kind, and the mean difference to raster with its error."""
    lines = [f"{'inputs':16} {'seed':>15}" + "".join(f"{t:>17}" for t in COLUMNS.values())]
    values = np.array(
        [[[records[f"{i}-{s}"][c] for c in COLUMNS] for s in range(seeds)] for i in INPUTS]
    )
    for inputs, runs in zip(INPUTS, values, strict=True):
        lines += [_line(inputs, str(seed), run) for seed, run in enumerate(runs)]
    for inputs, runs in zip(INPUTS, values, strict=True):
        lines.append(_line(inputs, "mean", runs.mean(axis=0)))
        if inputs != "raster" and seeds > 1:
            gap = runs - values[0]
            lines.append(_line(inputs, "less raster", gap.mean(axis=0), sign="+"))
            error = gap.std(axis=0, ddof=1) / np.sqrt(seeds)
            lines.append(_line(inputs, "standard error", error))
    return "\n".join(lines)


def _line(inputs: str, seed: str, values: np.ndarray, sign: str = "") -> str:
    return f"{inputs:16} {seed:>15}" + "".join(f"{value:{sign}17.3f}" for value in values)


def main() -> None:
    """Trains what is missing, prints the table, writes the grid."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokenizer", default="runs/quickstart/tokenizer", metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path("runs/decoder_inputs"))
    parser.add_argument("--grid", type=Path, default=Path("docs/decoder_inputs.png"))
    args = parser.parse_args()
    path = args.output / "results.json"
    records = json.loads(path.read_text()) if path.exists() else {}
    for seed in range(args.seeds):
        for inputs in INPUTS:
            name = f"{inputs}-{seed}"
            if name not in records:
                print(f"\n=== {name}", flush=True)
                records[name] = one(inputs, seed, args.tokenizer, args.output / name)
                path.write_text(json.dumps(records, indent=2) + "\n")
    print("\n" + table(records, args.seeds))
    print(f"load average {os.getloadavg()[0]:.1f}")
    draw_grid(args.output, args.grid)
    print(f"{args.grid}: real pictures; " + "; ".join(INPUTS))


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
