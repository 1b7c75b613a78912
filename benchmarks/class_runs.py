"""What the benchmarks of class-conditional models share: runs with and without classes, 3 seeds.

One tokenizer for all of them: seeds and error bars are those of the models of its tokens.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

TOKENIZER = "gin/runs/quickstart_tokenizer.gin"
IMAGE_TOKENS = "gin/runs/quickstart_image_tokens.gin"
KINDS: Mapping[str, Sequence[str]] = {
    "classes": [],
    "none": ["NUM_CLASSES = 0", "CLASS_FEATURE = ''"],
}
"""Models of the 12 roles, and of nothing at all."""

TRAIN_STEPS, EMA_DECAY = 500, 0.99


PEOPLE = [
    "MIXTURE_OR_TASK_NAME = 'emoji_people_32'",
    "TASK_FEATURE_LENGTHS = {'text': 20, 'image': 32}",
]
"""All 78 roles in the place of the 12, and 700 steps."""


def train_people(directory: Path, seeds: int) -> dict[str, list[Path]]:
    """As `train_all`, of 78 roles, and nothing without classes."""
    settings = [*PEOPLE, "NUM_CLASSES = 78"]
    return train_all(directory, seeds, {"classes": settings}, PEOPLE, 700)


def train_all(
    directory: Path,
    seeds: int,
    kinds: Mapping[str, Sequence[str]] = KINDS,
    of_tokenizer: Sequence[str] = (),
    steps: int = TRAIN_STEPS,
) -> dict[str, list[Path]]:
    """Makes the runs that are not in `directory`; kind -> run directories, a seed each."""
    from babeldraw.cli.support.machines import load_machine_file, set_environment
    from babeldraw.cli.support.recipes import train_recipe

    machine = load_machine_file("configs/cpu.py")
    set_environment(machine)

    def train(run: Path, recipe: str, bindings: list[str]) -> Path:
        print(f"\n=== {run.name}", flush=True)
        sheets = "loop.train.pictures_every = 0"
        train_recipe([recipe], [*bindings, f"MODEL_DIR = {str(run)!r}", sheets], machine)
        return run

    tokenizer = train(directory / "tokenizer", TOKENIZER, [*of_tokenizer, "EVAL_EVERY = 2200"])
    settings = [
        f"TOKENIZER_CHECKPOINT = {str(tokenizer)!r}",
        f"TRAIN_STEPS = {steps}",
        f"EVAL_EVERY = {steps}",
        f"EMA_DECAY = {EMA_DECAY}",
    ]
    return {
        kind: [
            train(directory / f"{kind}_{seed}", IMAGE_TOKENS, [*own, *settings, f"SEED = {seed}"])
            for seed in range(seeds)
        ]
        for kind, own in kinds.items()
    }
