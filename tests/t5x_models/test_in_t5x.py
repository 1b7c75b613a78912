"""Contract: T5X's own functions do with our model what our loop does.

T5X has to be there (docs/t5x.md): elsewhere these are skipped by name.
"""

import dataclasses
import functools
import json
import os

import jax
import numpy as np
import pytest

from babeldraw.cli.support.runs import open_run
from babeldraw.training.keeping import checkpoint_files, checkpoints
from tests.t5x_models import made
from tests.t5x_models.test_conversion import RECORDED

pytestmark = pytest.mark.slow


def test_what_t5x_writes_is_recorded(real_t5x, tmp_path):
    """With BABELDRAW_UPDATE_GOLDEN=1 in the environment it is written."""
    from t5x import checkpoints as theirs
    from t5x import train_state

    from babeldraw.t5x_models.partitioner import Partitioner
    from babeldraw.t5x_models.text_to_image import TextToImageModel

    run, objective = made.write_run(tmp_path)
    model = _model(TextToImageModel, run, objective)
    variables = model.get_initial_variables(jax.random.PRNGKey(0), {})
    state = train_state.FlaxOptimTrainState.create(model.optimizer_def, variables)
    (tmp_path / "written").mkdir()
    manager = theirs.OrbaxCheckpointManagerInterface(
        str(tmp_path / "written"), state, Partitioner(num_partitions=1)
    )
    manager.save(state)
    manager.wait_until_finished()
    manager.close()
    tree = checkpoint_files.read_tree(tmp_path / "written/checkpoint_0/state")
    arrays = checkpoint_files.by_name(tree)
    written = {name: f"{array.dtype}{list(array.shape)}" for name, array in arrays.items()}
    if os.environ.get("BABELDRAW_UPDATE_GOLDEN"):
        RECORDED.write_text(json.dumps(written, indent=1) + "\n")
    assert written == json.loads(RECORDED.read_text())


def test_a_batch_in_parts_is_the_same_step(real_t5x, tmp_path):
    """T5X adds gradients up, and ours are of means."""
    from t5x import train_state, trainer

    from babeldraw.t5x_models.text_to_image import TextToImageModel

    run, objective = made.write_run(tmp_path)
    objective = dataclasses.replace(objective, model=objective.model.clone(dropout_rate=0.0))
    model = _model(TextToImageModel, run, objective)
    params = model.get_initial_variables(jax.random.PRNGKey(0), {})
    state = train_state.FlaxOptimTrainState.create(model.optimizer_def, params)
    rng = np.random.default_rng(0)
    batch = {
        "text_tokens": jax.numpy.asarray(rng.integers(1, 2048, (8, 16), np.int32)),
        "image": jax.numpy.asarray(rng.integers(0, 256, (8, 16, 20, 3), np.uint8)),
    }
    found_of = []
    for parts in (1, 4):
        model.parts = parts
        found_of.append(
            trainer.accumulate_grads_microbatched(model, state, batch, jax.random.PRNGKey(0), parts)
        )
    (whole, one, _), (summed, several, _) = found_of
    losses = [float(metrics["loss"].compute()) for metrics in (one, several)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    whole, summed = jax.device_get((whole, summed))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, summed, whole)


def _model(make, run, objective):
    dataset = open_run(run).train_dataset
    constants = checkpoints.load_constants(run)
    return make(_Given(objective, constants), dataset, dataset)


class _Given:
    """The objective, whose tokenizer is not read from another run."""

    def __init__(self, objective, constants):
        self._objective, self._constants = objective, constants

    def constants(self):
        return jax.tree.map(jax.numpy.asarray, self._constants)

    def abstract_constants(self):
        return self._constants

    def check_dataset(self, dataset, constants):
        return None  # The run's pictures are of another size than its task's.

    def __getattr__(self, name):
        return getattr(self._objective, name)
