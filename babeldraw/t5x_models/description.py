"""MODEL_DIR/babeldraw: what makes a folder of T5X's a run that Babeldraw can read.

Settings, manifest, vocabulary, prompts and frozen networks stand there in the files that a run
directory has of them, and t5x.json says of which seed the run is. `babeldraw convert` takes them
with the parameters.
"""

import json
from typing import Any

import jax
from etils import epath

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.objectives.base import Constants, Objective
from babeldraw.training.keeping import prompts, vocabulary
from babeldraw.training.keeping.checkpoints import load_constants, save_constants
from babeldraw.training.keeping.manifest import NAME as MANIFEST
from babeldraw.training.keeping.manifest import (
    Manifest,
    hash_constants,
    keep_manifest,
    read_manifest,
)
from babeldraw.training.keeping.settings import NAME as SETTINGS
from babeldraw.training.keeping.settings import T5X, keep_settings

NAME = T5X
"""The folder, in T5X's MODEL_DIR."""
SEED = "t5x.json"
"""The file of the seed."""

COPIED = (SETTINGS, MANIFEST, vocabulary.NAME, prompts.NAME)


def describe(
    model_dir: str,
    objective: Objective,
    constants: Constants,
    train_dataset: Any,
    eval_dataset: Any,
    seed: int,
) -> None:
    """Writes the folder, or compares what a run goes on with to what it says.

    Raises:
      UserError: the run was trained with another tokenizer, vocabulary or data.
    """
    directory = files.path(model_dir) / NAME
    directory.mkdir(parents=True, exist_ok=True)
    before = read_manifest(directory)
    if before is None:
        save_constants(str(directory), constants)
    else:
        check_tokenizer(before, constants, model_dir, "that one, or another MODEL_DIR")
    parts = {
        "objective": objective,
        "train_dataset": train_dataset,
        "eval_dataset": eval_dataset,
    }
    keep_manifest(directory, objective, constants, train_dataset, before is not None, False)
    keep_settings(directory, parts, done=False)
    prompts.keep_prompts(directory, objective, train_dataset, eval_dataset)
    if jax.process_index() == 0:
        write_seed(directory, seed)


def check_tokenizer(before: Manifest, constants: Constants, trained: str, advice: str) -> None:
    """Whether frozen networks are those that something was trained with.

    Raises:
      UserError: they are not: what was `trained`, and what to give.
    """
    if before.constants != hash_constants(constants):
        raise UserError(
            f"{trained} was trained with another tokenizer than TOKENIZER_CHECKPOINT is: give "
            f"{advice}."
        )


def copy_description(source: epath.Path, target: epath.Path) -> None:
    """Copies what both kinds of folder have; frozen networks are read, verified and written."""
    target.mkdir(parents=True, exist_ok=True)
    save_constants(str(target), load_constants(str(source)))
    for name in COPIED:
        if (source / name).exists():
            (target / name).write_bytes((source / name).read_bytes())


def write_seed(directory: epath.Path, seed: int) -> None:
    """Of the run that the folder describes."""
    (directory / SEED).write_text(json.dumps({"seed": seed}))


def read_seed(directory: epath.Path) -> int:
    """What `write_seed` wrote.

    Raises:
      UserError: it is not there.
    """
    try:
        seed: int = json.loads((directory / SEED).read_text())["seed"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{directory / SEED} is missing or damaged: bring it back from a copy."
        ) from error
    return seed
