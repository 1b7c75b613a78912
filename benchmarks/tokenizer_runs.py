"""What the tokenizer's benchmarks share: runs of gin/runs/tokenizer.gin, kept by their settings."""

import json
import shutil
from pathlib import Path
from typing import Any

Run = list[dict[str, Any]]
"""The records of a run's metrics.jsonl."""

GIN_FILES = ["gin/runs/tokenizer.gin", "gin/tokenizers/tiny.gin", "gin/tasks/emoji.gin"]

SMALL = [
    # Two CPU cores, 32 px: what the quickstart's tokenizer learns with, and a discriminator to fit.
    "BATCH_SIZE = 16",
    "LEARNING_RATE = 2e-3",
    "FINAL_LEARNING_RATE = 0.0",
    "WARMUP_STEPS = 50",
    "WEIGHT_DECAY = 0.0",
    "LOGIT_LAPLACE_WEIGHT = 0.0",
    "PERCEPTUAL_WEIGHT = 0.0",
    "ADVERSARIAL_WEIGHT = 0.0",
    "DISCRIMINATOR_CHANNEL_BASE = 512",
    "optimizers.Adam.clip_norm = 1.0",
]


class Runs:
    """Runs below one directory. A run that is in its results.json is not made again."""

    def __init__(self, directory: Path) -> None:
        from babeldraw.cli.support.machines import load_machine_file, set_environment

        self._directory = directory
        self._machine = load_machine_file("configs/cpu.py")
        set_environment(self._machine)
        self._path = directory / "results.json"
        known = self._path.read_text() if self._path.exists() else "{}"
        self._known: dict[str, Run] = json.loads(known)

    def __call__(self, name: str, settings: list[str], *, keep: bool = False) -> Run:
        """The records of the run with these gin bindings.

        Args:
          keep: leave its directory, DIRECTORY/NAME, with its checkpoints.
        """
        from babeldraw.cli.support.recipes import train_recipe

        key = " ".join(settings)
        directory = self._directory / name
        if key in self._known and (directory.is_dir() or not keep):
            return self._known[key]
        print(f"\n=== {name}", flush=True)
        shutil.rmtree(directory, ignore_errors=True)
        bindings = [f"MODEL_DIR = {str(directory)!r}", *SMALL, *settings]
        train_recipe(GIN_FILES, bindings, self._machine)
        lines = (directory / "metrics.jsonl").read_text().splitlines()
        self._known[key] = [json.loads(line) for line in lines]
        self._path.write_text(json.dumps(self._known) + "\n")
        if not keep:
            shutil.rmtree(directory)
        return self._known[key]
