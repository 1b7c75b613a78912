"""Which alarms healthy and sick runs raise: `python -m benchmarks.alarms DIR [--seeds 5]`.

Trains the quickstart's two stages with each seed (healthy), and, after the first one's tokenizer,
sick ones: captions that belong to other pictures, one caption for all, few pictures for many steps,
and a tokenizer of far more codes than it can use. Prints for each which alarms it raised, and when,
beside the figures by which they go. A run that is in DIR is not made again. `--save FILE` writes
the figures, which tests/objectives/alarm_histories.json are.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from babeldraw.data.streams.pipeline import Dataset
from babeldraw.ranges import Whole

FIGURES = ("prompt_gap", "codebook_usage", "loss", "psnr")
TOKENIZER = "gin/runs/quickstart_tokenizer.gin"
TEXT_TO_IMAGE = "gin/runs/quickstart_text_to_image.gin"
EVAL_EVERY = {TOKENIZER: 250, TEXT_TO_IMAGE: 50}
ALTERED = """
from __gin__ import dynamic_registration
from babeldraw.training import loop
from benchmarks import alarms

loop.train.train_dataset = @train/alarms.Altered()
alarms.Altered:
  mixture_or_task_name = %MIXTURE_OR_TASK_NAME
  task_feature_lengths = %TASK_FEATURE_LENGTHS
  batch_size = %BATCH_SIZE
  seed = %SEED
  limit = %PICTURES
  texts = %TEXTS
"""


@dataclasses.dataclass(frozen=True)
class Altered(Dataset):
    """A small set that has been tampered with.

    Attributes:
      limit: only the first so many pictures; 0: all.
      texts: `own` captions; `others`, those of other pictures; or `same`, one for all.
    """

    limit: Whole = 0
    texts: str = "own"

    def batches(
        self,
        *,
        process_index: int = 0,
        process_count: int = 1,
        start_step: int = 0,
        num_epochs: int | None = None,
    ) -> Iterator[dict[str, np.ndarray]]:
        """For ever, in one process, each batch a random draw that follows from its number."""
        found = self.examples(self.limit or None)
        image, text = found["image"], found["text_tokens"]
        if self.texts == "others":
            text = text[np.random.default_rng(self.seed).permutation(len(text))]
        elif self.texts == "same":
            text = np.broadcast_to(text[:1], text.shape)
        step = start_step
        while True:
            rows = np.random.default_rng((self.seed, step)).choice(len(image), self.batch_size)
            yield {"image": image[rows], "text_tokens": text[rows]}
            step += 1

    def fingerprint(self) -> dict[str, Any]:
        """With as many pictures as are left."""
        found = super().fingerprint()
        return found | {"pictures": self.limit or found["pictures"]}


def runs(seeds: int) -> dict[str, tuple[str, list[str]]]:
    """Name -> recipe and bindings, of which the last is the seed; altered data have `PICTURES`."""
    found: dict[str, tuple[str, list[str]]] = {}
    for seed in range(seeds):
        found[f"tokenizer, seed {seed}"] = (TOKENIZER, [f"SEED = {seed}"])
        found[f"text to image, seed {seed}"] = (TEXT_TO_IMAGE, [f"SEED = {seed}"])
    for name, texts, pictures, batch_size, steps in (
        ("captions of other pictures", "others", 0, 16, 400),
        ("one caption for all", "same", 0, 16, 60),
        ("36 pictures", "own", 36, 8, 300),
    ):
        altered = [f"TEXTS = {texts!r}", f"PICTURES = {pictures}"]
        size = [f"BATCH_SIZE = {batch_size}", f"TRAIN_STEPS = {steps}"]
        found[name] = (TEXT_TO_IMAGE, [*altered, *size, "SEED = 0"])
    codes = ["CODEBOOK_SIZE = 8192", "TRAIN_STEPS = 500", "SEED = 0"]
    found["8,192 codes"] = (TOKENIZER, codes)
    return found


def train(directory: Path, name: str, recipe: str, bindings: list[str]) -> Path:
    """Makes the run where it is not there; returns its directory."""
    from babeldraw.cli.support.machines import load_machine_file, set_environment
    from babeldraw.cli.support.recipes import train_recipe

    run = directory / name.replace(",", "").replace(" ", "_")
    seed = bindings[-1].rpartition(" ")[2]
    machine = load_machine_file("configs/cpu.py")
    set_environment(machine)
    settings = [
        f"MODEL_DIR = {str(run)!r}",
        f"EVAL_EVERY = {EVAL_EVERY[recipe]}",
        "loop.train.pictures_every = 0",
    ]
    if recipe == TEXT_TO_IMAGE:
        settings.append(f"TOKENIZER_CHECKPOINT = {str(directory / f'tokenizer_seed_{seed}')!r}")
    files = [recipe]
    if any(binding.startswith("PICTURES") for binding in bindings):
        directory.mkdir(parents=True, exist_ok=True)
        altered = directory / "altered.gin"
        altered.write_text(ALTERED)
        files.append(str(altered))
    print(f"\n=== {name}", flush=True)
    train_recipe(files, [*bindings, *settings], machine)
    return run


def history(run: Path) -> dict[str, dict[str, list[list[float]]]]:
    """The figures that alarms go by, at each evaluation."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        for name in FIGURES:
            if record["split"] != "train" and record.get(name) is not None:
                points = found.setdefault(name, {}).setdefault(record["split"], [])
                points.append([record["step"], round(record[name], 4)])
    return found


def raised(run: Path) -> dict[str, list[int]]:
    """Kind of alarm -> the steps at which it was raised."""
    path, found = run / "alarms.jsonl", dict[str, list[int]]()
    for line in path.read_text().splitlines() if path.exists() else ():
        alarm = json.loads(line)
        found.setdefault(alarm["kind"], []).append(alarm["step"])
    return found


def row(name: str, alarms: Mapping[str, list[int]], figures: Mapping[str, Any]) -> str:
    """Of the table: the run, its last figures on held-out and seen pictures, its alarms."""
    last = [
        f"{figure} {splits['eval'][-1][1]:.3g} / {splits['seen'][-1][1]:.3g}"
        for figure, splits in figures.items()
    ]
    said = [f"{kind} at {', '.join(map(str, steps))}" for kind, steps in alarms.items()]
    return f"| {name} | {'; '.join(last)} | {'; '.join(said) or 'none'} |"


def main() -> None:
    """Trains, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seeds", type=int, default=5, help="healthy runs of each stage")
    parser.add_argument("--save", type=Path, help="write the histories here, as JSON")
    args = parser.parse_args()
    rows, kept = ["| run | last figures, held out / seen | alarms |", "|---|---|---|"], {}
    for name, (recipe, bindings) in runs(args.seeds).items():
        run = train(args.directory, name, recipe, bindings)
        figures, alarms = history(run), raised(run)
        manifest = json.loads((run / "manifest.json").read_text())
        settings = json.loads((run / "settings.json").read_text())
        kept[name] = {
            "pictures": manifest["data"]["pictures"],
            "batch_size": settings["train_dataset"]["batch_size"],
            "train_steps": next(iter(figures.values()))["eval"][-1][0],
            "alarms": alarms,
            "history": figures,
        }
        rows.append(row(name, alarms, figures))
    if args.save:
        args.save.write_text(json.dumps(kept) + "\n")
    print("\n".join(["", *rows]))


if __name__ == "__main__":
    main()
