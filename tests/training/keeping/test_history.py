"""Contract: a directory that has lost its checkpoints is not begun anew without being asked."""

import shutil

import pytest

from babeldraw.errors import UserError
from babeldraw.training.keeping.history import refuse_to_begin_anew
from babeldraw.training.machine import Machine


@pytest.mark.parametrize("left", [{"metrics.jsonl", "config.gin"}, {"config.gin"}])
def test_lost_checkpoints_are_asked_for(left, run, tmp_path):
    run(2)
    directory = tmp_path / "run"
    shutil.rmtree(directory / "checkpoints")
    for path in directory.glob("*.*"):
        if path.name not in left:
            path.unlink()
    before = {path.name: path.read_bytes() for path in directory.glob("*.*")}
    with pytest.raises(UserError, match=r"has records of a run .* and no checkpoints: bring its"):
        run(4)
    assert {path.name: path.read_bytes() for path in directory.glob("*.*")} == before
    state, _ = run(4, begin_anew=True)
    assert int(state.step) == 4


def test_emptied_ones_too(run, tmp_path):
    run(6, machine=Machine(checkpoint_every=2))
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        shutil.rmtree(path)
    with pytest.raises(UserError, match=r"step 6\) and no checkpoints"):
        run(8)


def test_a_run_that_was_killed_inside_its_first_save_begins_again(run, tmp_path):
    """The second was recorded, and had to wait for the first, which never was whole."""
    run(4, machine=Machine(checkpoint_every=2))
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        shutil.rmtree(path)
    refuse_to_begin_anew(str(tmp_path / "run"))


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(run, tmp_path):
    run(2, machine=Machine(checkpoint_every=3))
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "2")
    refuse_to_begin_anew(str(tmp_path / "run"))
    refuse_to_begin_anew(str(tmp_path / "new"))
