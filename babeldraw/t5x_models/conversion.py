"""Checkpoints from a folder of T5X's to a run directory, and back; T5X itself is not needed.

    MODEL_DIR/checkpoint_STEP/state        MODEL_DIR/checkpoints/STEP
      target/NAME                            params/text_to_image/NAME
      state/param_states/NAME                optimizer_state/text_to_image/NAME
      state/step                             (the folder's name)

Arrays stay what they are, bit for bit.
"""

import contextlib
import dataclasses
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from flax.traverse_util import unflatten_dict

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective
from babeldraw.parallel.mesh import one_device
from babeldraw.parallel.rules import TRAINING_RULES
from babeldraw.t5x_models import checking, description
from babeldraw.t5x_models.batches import SAVED
from babeldraw.training.keeping import checkpoint_files, checkpoints
from babeldraw.training.keeping.claim import writing_to
from babeldraw.training.keeping.model_info import model_info
from babeldraw.training.keeping.saving import Checkpoints
from babeldraw.training.keeping.steps import T5X_PREFIX, t5x_steps
from babeldraw.training.state import abstract_state, describe_state

DATASET = "dataset/train_ds-000-of-001"
"""Where T5X looks for what one process has saved of its data."""


@dataclasses.dataclass(frozen=True)
class Converted:
    """What was taken over.

    Attributes:
      parameters, state: how many arrays of the model, and of its optimizer.
    """

    step: int
    parameters: int
    state: int


def described_run(model_dir: str) -> str:
    """The folder by which a MODEL_DIR of T5X's can be read as a run.

    Raises:
      UserError: there is none.
    """
    directory = files.path(model_dir) / description.NAME
    if not directory.is_dir():
        raise UserError(
            f"{model_dir} has no folder {description.NAME}/, which T5X's trainer writes under "
            "gin/t5x/pretrain.gin: give the MODEL_DIR of such a run."
        )
    return str(directory)


def from_t5x(model_dir: str, step: int | None, output: str, objective: Objective) -> Converted:
    """Writes a run directory of one checkpoint.

    Args:
      model_dir: of T5X's trainer.
      step: of the checkpoint; None: the latest.
      output: the run directory, new or empty.
      objective: what `described_run` says was trained.

    Raises:
      UserError: there is no such checkpoint, it is damaged, or of another model.
    """
    source, directory = files.path(described_run(model_dir)), files.path(output)
    steps = t5x_steps(model_dir)
    if not steps or step not in (None, *steps):
        known = f"it has {', '.join(map(str, steps))}" if steps else "it has none"
        wanted = "checkpoint" if step is None else f"checkpoint of step {step}"
        raise UserError(f"{model_dir} has no {wanted}: {known}.")
    step = steps[-1] if step is None else step
    folder = files.path(model_dir) / f"{T5X_PREFIX}{step}"
    tree, seed = _read(folder), description.read_seed(source)
    found = checking.by_our_names(tree, objective)
    mesh = one_device()
    variables = describe_state(objective, mesh, TRAINING_RULES)
    checking.compare(
        found,
        variables,
        f"{folder} is of another model than its folder {description.NAME}/ says",
        "bring both from one run",
    )
    target = abstract_state(objective, variables)
    arrays = found | {"step": np.asarray(step, np.int32)}
    placed = [
        checkpoint_files.place(arrays[v.name], leaf)
        for v, leaf in zip(variables, jax.tree.leaves(target), strict=True)
    ]
    state = jax.tree.unflatten(jax.tree.structure(target), placed)
    with writing_to(output):
        description.copy_description(source, directory)
        files.mark_output(directory, ours=True)
        (directory / "model-info.txt").write_text(model_info(variables, mesh))
    written = Checkpoints(output, keep=1, seed=seed, variables=variables)
    with contextlib.closing(written):
        written.save(step, state)
        written.wait()
    return _count(step, found)


def to_t5x(model_dir: str, step: int | None, output: str, objective: Objective) -> Converted:
    """Writes a folder that T5X's programs begin or go on from.

    Args:
      model_dir: a run directory.
      step: of the checkpoint; None: the latest.
      output: T5X's MODEL_DIR, new or empty.
      objective: of the run.

    Raises:
      UserError: there is no such checkpoint, it is damaged, or of what T5X does not train.
    """
    players = [player.name for player in objective.players()]
    if players != ["text_to_image"]:
        raise UserError(
            f"{model_dir} trains {', '.join(players)}, and T5X takes a text-to-image model alone, "
            "without a moving average: give a run of gin/runs/text_to_image.gin, EMA_DECAY 0."
        )
    (player,) = players
    step = checkpoints.latest_step(model_dir) if step is None else step
    params = checkpoint_files.by_name(checkpoints.load_params(model_dir, step)[player])
    optimizer_state = {
        name.removeprefix(f"optimizer_state/{player}/"): array
        for name, array in checkpoints.load_optimizer_state(model_dir, step).items()
    }
    with checkpoints.reading(model_dir, step) as (_, run):
        seed: int = run["seed"]
    tree = {
        "target": unflatten_dict(params, sep="/"),
        "state": {
            "step": np.asarray(step, np.int32),
            "param_states": unflatten_dict(optimizer_state, sep="/"),
        },
    }
    directory = files.path(output)
    with writing_to(output):
        directory.mkdir(parents=True, exist_ok=True)
        files.mark_output(directory, ours=True)
        described = directory / description.NAME
        description.copy_description(files.path(model_dir), described)
        description.write_seed(described, seed)
        _write(directory, step, tree)
    return Converted(step, len(params), len(optimizer_state))


def _read(folder: epath.Path) -> dict[str, Any]:
    try:
        with checkpoint_files.reading(folder):
            tree: dict[str, Any] = checkpoint_files.read_tree(folder / "state")
            return tree
    except checkpoint_files.Damaged as error:
        raise UserError(
            f"{folder} is damaged, or not what T5X writes with Orbax ({error}): bring it back from "
            "a copy, or give another --step."
        ) from error


def _write(directory: epath.Path, step: int, tree: dict[str, Any]) -> None:
    options = ocp.CheckpointManagerOptions(step_prefix=T5X_PREFIX.rstrip("_"), max_to_keep=None)
    with ocp.CheckpointManager(directory, options=options) as manager:
        manager.save(step, args=ocp.args.Composite(state=ocp.args.PyTreeSave(tree)))
        manager.wait_until_finished()
    data = directory / f"{T5X_PREFIX}{step}" / DATASET
    data.parent.mkdir(exist_ok=True)
    data.write_text(SAVED)


def _count(step: int, found: dict[str, np.ndarray]) -> Converted:
    parameters = sum(name.startswith("params/") for name in found)
    return Converted(step, parameters, len(found) - parameters)
