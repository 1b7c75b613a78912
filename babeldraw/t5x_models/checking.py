"""Whether a checkpoint of T5X's is of the model at hand: looked at before T5X reads it."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.objectives.base import Objective
from babeldraw.parallel.mesh import one_device
from babeldraw.parallel.rules import TRAINING_RULES
from babeldraw.t5x_models import description
from babeldraw.training.keeping import checkpoint_files
from babeldraw.training.keeping.manifest import read_manifest
from babeldraw.training.keeping.steps import T5X_PREFIX, t5x_steps
from babeldraw.training.state import Variable, describe_state


def absolute(folder: str) -> str:
    """The folder as Orbax takes it, wherever it is."""
    return str(files.path(folder))


def checked_start(
    objective: Objective, model_dir: str, path: str | Sequence[str] = ()
) -> str | Sequence[str]:
    """`path`, absolute, for T5X to begin with, once that or what it goes on from is looked at.

    Args:
      objective: of the recipe.
      model_dir: T5X goes on from the latest checkpoint there, if there is one.
      path: of another run's checkpoint; empty: fresh parameters.

    Raises:
      UserError: one that T5X would begin with is of another model, or with another tokenizer.
    """
    if isinstance(path, str):
        path = absolute(path)
    steps = t5x_steps(model_dir)
    if steps:
        _check_folder(files.path(model_dir) / f"{T5X_PREFIX}{steps[-1]}", objective, "")
    elif isinstance(path, str):
        _check_folder(files.path(path), objective, "")
    return path


def checked_parameters(objective: Objective, path: str) -> str:
    """`path`, absolute, whose parameters alone T5X will read.

    Raises:
      UserError: see `checked_start`.
    """
    path = absolute(path)
    _check_folder(files.path(path), objective, "params/")
    return path


def _check_folder(folder: epath.Path, objective: Objective, only: str) -> None:
    if not (folder / "state").is_dir():
        raise UserError(
            f"{folder} is no checkpoint of T5X's (it has no folder state/): give a folder such as "
            f"MODEL_DIR/{T5X_PREFIX}1000, or what `babeldraw convert` makes of a run."
        )
    try:
        reader = contextlib.closing(ocp.PyTreeCheckpointHandler())
        with checkpoint_files.reading(folder), reader as handler:
            tree = handler.metadata(folder / "state").tree
    except checkpoint_files.Damaged as error:
        raise UserError(f"{folder} is damaged ({error}): bring it back from a copy.") from error
    variables = describe_state(objective, one_device(), TRAINING_RULES)
    found = by_our_names(tree, objective)
    compare(
        {name: array for name, array in found.items() if name.startswith(only)},
        [variable for variable in variables if variable.name.startswith(only)],
        f"{folder} is of another model than the recipe describes",
        "give its gin/models and gin/tokenizers file, or another checkpoint",
    )
    manifest = read_manifest(folder.parent / description.NAME)
    if manifest:
        description.check_tokenizer(manifest, objective.constants(), str(folder), "that one")


def by_our_names(tree: Any, objective: Objective) -> dict[str, Any]:
    """The arrays of T5X's tree, or what is said of them, by the names that a run has for them."""
    player = objective.players()[0].name
    ours = {}
    for name, array in checkpoint_files.by_name(tree).items():
        for theirs, kept in (("target/", "params"), ("state/param_states/", "optimizer_state")):
            if name.startswith(theirs):
                ours[f"{kept}/{player}/{name.removeprefix(theirs)}"] = array
    return ours


def compare(
    found: Mapping[str, Any], variables: Sequence[Variable], fault: str, advice: str
) -> None:
    """Whether there are the arrays of a model, by name, shape and type.

    Raises:
      UserError: they differ: `fault`, the first that does, and `advice`.
    """
    wanted = {v.name: _said(v) for v in variables if v.name != "step"}
    there = {name: _said(array) for name, array in found.items()}
    for name in [*wanted, *there]:
        if wanted.get(name) != there.get(name):
            raise UserError(
                f"{fault}: its {name} is {there.get(name, 'missing')}, and the model's is "
                f"{wanted.get(name, 'missing')}; {advice}."
            )


def _said(array: Any) -> str:
    return f"{jnp.dtype(array.dtype).name}{list(array.shape)}"
