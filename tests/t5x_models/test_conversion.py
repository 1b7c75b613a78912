"""Contract: a checkpoint goes to T5X and back bit for bit, and what is of another is refused."""

import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from babeldraw.cli.main import main
from babeldraw.training.keeping import checkpoint_files, checkpoints
from tests.cli import runs
from tests.t5x_models import made

RECORDED = pathlib.Path(__file__).parent / "recorded.json"
"""Name -> type and shape of the arrays in a checkpoint that T5X cc342d4 wrote itself."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run directory, and what was made of it for T5X."""
    folder = tmp_path_factory.mktemp("t5x")
    run, _ = made.write_run(folder)
    assert main(["convert", f"--from={run}", f"--to={folder / 'theirs'}"]) == 0
    return run, str(folder / "theirs")


def refused(line, capsys):
    assert main(line) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def read(model_dir):
    return {
        **checkpoint_files.by_name({"params": checkpoints.load_params(model_dir)}),
        **checkpoints.load_optimizer_state(model_dir),
    }


def test_there_and_back_is_bit_for_bit(folders, tmp_path, capsys):
    run, theirs = folders
    back = tmp_path / "back"
    assert main(["convert", f"--from={theirs}", f"--to={back}"]) == 0
    assert f"step {made.STEP} is in {back}" in capsys.readouterr().out
    assert checkpoints.latest_step(str(back)) == made.STEP
    before, after = read(run), read(str(back))
    assert before.keys() == after.keys()
    for name, array in before.items():
        assert array.dtype == after[name].dtype, name
        np.testing.assert_array_equal(array, after[name], err_msg=name)
    assert any(array.dtype == np.int8 for array in after.values())
    ours, copies = checkpoints.load_constants(run), checkpoints.load_constants(str(back))
    jax.tree.map(np.testing.assert_array_equal, ours, copies)
    for file in ("settings.json", "manifest.json"):
        assert (back / file).read_bytes() == (pathlib.Path(run) / file).read_bytes()
    # It goes on as the same run: of the same seed.
    with checkpoints.reading(str(back), None) as (_, kept):
        assert kept["seed"] == made.SEED


def test_what_is_written_has_the_arrays_that_t5x_writes(folders):
    _, theirs = folders
    path = pathlib.Path(theirs) / f"checkpoint_{made.STEP}"
    tree = checkpoint_files.by_name(checkpoint_files.read_tree(path / "state"))
    written = {name: f"{array.dtype}{list(array.shape)}" for name, array in tree.items()}
    assert written == json.loads(RECORDED.read_text())
    assert (path / "dataset/train_ds-000-of-001").exists()


def test_a_checkpoint_of_another_model_is_refused(folders, tmp_path, capsys):
    _, theirs = folders
    other = tmp_path / "other"
    shutil.copytree(theirs, other)
    with runs.changed_settings(other / "babeldraw") as settings:
        settings["objective"]["model"]["mlp_dim"] = 32
    line = ["convert", f"--from={other}", f"--to={tmp_path / 'out'}"]
    said = refused(line, capsys)
    assert "of another model" in said and "kernel is float32[1, 16, 24]" in said
    assert not (tmp_path / "out").exists()


def test_what_is_no_folder_of_ours_is_refused(folders, tmp_path, capsys):
    run, theirs = folders
    to = f"--to={tmp_path / 'out'}"
    (tmp_path / "checkpoint_5").mkdir()
    said = refused(["convert", f"--from={tmp_path}", to], capsys)
    assert "has no folder babeldraw/" in said
    said = refused(["convert", f"--from={theirs}", "--step=4", to], capsys)
    assert f"no checkpoint of step 4: it has {made.STEP}" in said
    said = refused(["convert", f"--from={run}", f"--to={theirs}"], capsys)
    assert "is not empty" in said
    tokenizer = runs.write_tokenizer(tmp_path)
    said = refused(["convert", f"--from={tokenizer}", to], capsys)
    assert "trains tokenizer, and T5X takes a text-to-image model alone" in said
    said = refused(["sample", "a cook", f"--checkpoint={theirs}/checkpoint_3"], capsys)
    assert "is not a run directory" in said
    assert not (tmp_path / "out").exists()


def test_a_folder_of_t5x_is_named_as_one(folders, tmp_path, capsys):
    _, theirs = folders
    shutil.copytree(theirs, tmp_path / "theirs")
    (tmp_path / "theirs/config.gin").write_text("# As T5X writes it.\n")
    said = refused(["sample", "a cook", f"--checkpoint={tmp_path / 'theirs'}"], capsys)
    assert "is a folder of T5X's" in said and "babeldraw convert" in said


def test_damage_is_one_sentence(folders, tmp_path, capsys):
    _, theirs = folders
    broken = tmp_path / "broken"
    shutil.copytree(theirs, broken)
    (broken / f"checkpoint_{made.STEP}/state/_METADATA").write_text("{")
    said = refused(["convert", f"--from={broken}", f"--to={tmp_path / 'out'}"], capsys)
    assert "is damaged" in said
