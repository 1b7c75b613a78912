"""Contract: T5X begins with no checkpoint of another model, and is told so in a sentence."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from babeldraw.cli.main import main
from babeldraw.errors import UserError
from babeldraw.t5x_models.checking import absolute, checked_parameters, checked_start
from babeldraw.training.keeping.checkpoints import load_constants
from tests.t5x_models import made


@dataclasses.dataclass(frozen=True)
class Given:
    """Gives the run's own tokenizer, or another."""

    constants: object

    def __call__(self):
        return self.constants["tokenizer"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """MODEL_DIR of T5X's, and the objective of its run."""
    folder = tmp_path_factory.mktemp("t5x")
    run, objective = made.write_run(folder)
    assert main(["convert", f"--from={run}", f"--to={folder / 'theirs'}"]) == 0
    given = Given(load_constants(run))
    return str(folder / "theirs"), dataclasses.replace(objective, tokenizer_params=given)


def test_what_fits_is_handed_on(kept, monkeypatch):
    theirs, objective = kept
    path = f"{theirs}/checkpoint_{made.STEP}"
    assert checked_parameters(objective, path) == path
    assert checked_start(objective, theirs) == ()
    assert checked_start(objective, "/nowhere", path) == path
    monkeypatch.chdir(theirs)  # Orbax takes no relative path.
    assert checked_parameters(objective, f"checkpoint_{made.STEP}") == path
    assert absolute("theirs") == f"{theirs}/theirs" and absolute("gs://b/a") == "gs://b/a"


def test_another_model_is_refused(kept):
    theirs, objective = kept
    path = f"{theirs}/checkpoint_{made.STEP}"
    wider = dataclasses.replace(objective, model=objective.model.clone(mlp_dim=32))
    for begin in (
        lambda: checked_parameters(wider, path),
        lambda: checked_start(wider, theirs),
        lambda: checked_start(wider, "/nowhere", path),
    ):
        with pytest.raises(UserError, match=r"its params/\S+ is float32\S.*, and the model's is"):
            begin()


def test_parameters_alone_are_wanted_of_what_is_drawn_from(kept):
    """Another optimizer is another run, and the same model."""
    theirs, objective = kept
    optimizer = dataclasses.replace(objective.optimizer, first_moment_dtype="float32")
    other = dataclasses.replace(objective, optimizer=optimizer)
    checked_parameters(other, f"{theirs}/checkpoint_{made.STEP}")
    with pytest.raises(UserError, match=r"its optimizer_state/\S+ is int8"):
        checked_start(other, theirs)


def test_another_tokenizer_is_refused(kept):
    theirs, objective = kept
    changed = jax.tree.map(lambda array: array + np.float32(1), objective.tokenizer_params())
    other = dataclasses.replace(objective, tokenizer_params=Given({"tokenizer": changed}))
    with pytest.raises(UserError, match="another tokenizer than TOKENIZER_CHECKPOINT"):
        checked_parameters(other, f"{theirs}/checkpoint_{made.STEP}")


def test_what_is_no_checkpoint_or_damaged_is_named(kept, tmp_path):
    theirs, objective = kept
    with pytest.raises(UserError, match="is no checkpoint of T5X's"):
        checked_parameters(objective, theirs)
    shutil.copytree(theirs, tmp_path / "broken")
    folder = tmp_path / f"broken/checkpoint_{made.STEP}"
    (folder / "state/_METADATA").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        checked_parameters(objective, str(folder))
