"""A text-to-image run with an optimizer's state, all of it noise: nothing is trained."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from babeldraw.cli.support.runs import open_run
from babeldraw.optimizers.config import Adafactor
from babeldraw.optimizers.schedules import WarmupExponential
from babeldraw.parallel.mesh import one_device
from babeldraw.parallel.rules import TRAINING_RULES
from babeldraw.training.keeping.checkpoints import load_constants, save_constants
from babeldraw.training.keeping.manifest import keep_manifest
from babeldraw.training.keeping.saving import Checkpoints
from babeldraw.training.keeping.settings import read_settings, write_settings
from babeldraw.training.state import abstract_state, describe_state
from tests.cli import runs

STEP, SEED = 3, 7


def write_run(folder):
    """The run directory, as a str, and its objective, with Adafactor whose moment is int8."""
    start = runs.write_text_to_image(folder / "noise")
    opened = open_run(start)
    optimizer = Adafactor(learning_rate=WarmupExponential(1e-3, 0, 5, 10), min_dim_size_to_factor=8)
    objective = dataclasses.replace(opened.objective, optimizer=optimizer)
    directory = epath.Path(folder) / "run"
    variables = describe_state(objective, one_device(), TRAINING_RULES)
    target = abstract_state(objective, variables)
    random = np.random.default_rng(0)
    leaves = [jnp.asarray(_noise(random, v)) for v in variables]
    state = jax.tree.unflatten(jax.tree.structure(target), leaves)
    saved = Checkpoints(str(directory), keep=1, seed=SEED, variables=variables)
    with contextlib.closing(saved):
        saved.save(STEP, state)
    constants = load_constants(start)
    save_constants(str(directory), constants)
    keep_manifest(directory, objective, constants, None, False, False)
    parts = {"train_dataset": opened.train_dataset, "eval_dataset": opened.train_dataset}
    write_settings(directory, {"objective": objective, **parts})
    assert read_settings(directory)
    return str(directory), objective


def _noise(random, variable):
    if np.issubdtype(variable.dtype, np.integer):
        return random.integers(0, 100, variable.shape).astype(variable.dtype)
    return random.normal(size=variable.shape).astype(variable.dtype)
