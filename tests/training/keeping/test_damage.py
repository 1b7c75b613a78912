"""Contract: what is damaged on disk is named and moved away; the run goes on from what is good."""

import errno
import gc
import json
import os
import pathlib
import resource
import shutil
import tempfile

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from babeldraw import files
from babeldraw.errors import UserError
from babeldraw.training.keeping import checkpoint_files
from babeldraw.training.keeping.checkpoints import latest_step, load_params
from babeldraw.training.machine import Machine
from tests.training.test_loop import assert_bitwise_equal
from tests.training.toy import Toy

MACHINE = Machine(checkpoint_every=2)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run's directory after step 4, with checkpoints of 2 and 4, and its state after step 6."""
    from babeldraw.training.loop import train
    from tests.training.toy import ToyDataset

    folder = tmp_path_factory.mktemp("saved")
    settings = {"train_dataset": ToyDataset(), "machine": MACHINE, "devices": jax.devices()[:1]}
    train(Toy(), model_dir=str(folder / "four"), train_steps=4, **settings)
    state = train(Toy(), model_dir=str(folder / "six"), train_steps=6, **settings)
    return folder / "four", state


@pytest.fixture
def directory(saved, tmp_path):
    """A copy of it, to damage."""
    shutil.copytree(saved[0], tmp_path / "run")
    return tmp_path / "run"


def data_files(checkpoint):
    return sorted(
        (path for path in checkpoint.rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )


def truncate(checkpoint):
    for path in data_files(checkpoint):
        os.truncate(path, path.stat().st_size // 2)


def overwrite(checkpoint):
    rng = np.random.default_rng(0)
    for path in data_files(checkpoint):
        path.write_bytes(rng.bytes(path.stat().st_size))


def empty(checkpoint):
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


def lose(name):
    return lambda checkpoint: shutil.rmtree(checkpoint / name)


def lose_largest_file(checkpoint):
    data_files(checkpoint)[-1].unlink()


DAMAGES = {
    "truncated": truncate,
    "random bytes": overwrite,
    "empty": empty,
    "no parameters": lose("params"),
    "no optimizer": lose("optimizer_state"),
    "no run": lose("run"),
    "a file is missing": lose_largest_file,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_last_good_checkpoint_is_used_and_nothing_is_lost(
    damage, saved, directory, run, capsys
):
    DAMAGES[damage](directory / "checkpoints" / "4")
    before = {path.name for path in data_files(directory / "checkpoints" / "4")}
    state, _ = run(6, machine=MACHINE)
    assert_bitwise_equal(state, saved[1])
    said = capsys.readouterr().out
    assert "the checkpoint of step 4 is damaged (" in said and "resumed from step 2" in said
    assert {path.name for path in data_files(directory / "damaged" / "4")} == before
    assert latest_step(str(directory)) == 6


def test_one_wrong_number_is_found(saved, directory, run, monkeypatch, capsys):
    """The files are in order, as they are when a disk or a network returns other bits."""
    path = directory / "checkpoints" / "4" / "run" / "metadata"
    described = json.loads(path.read_text())
    described["fingerprints"]["params/critic/line"] ^= 1
    path.write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"step 4 .* damaged \(params/critic/line is not what"):
        load_params(str(directory))
    state, _ = run(6, machine=MACHINE)
    assert_bitwise_equal(state, saved[1])
    assert "step 4 is damaged (params/critic/line is not what was saved)" in capsys.readouterr().out


def test_when_none_is_good_nothing_is_touched(directory, run):
    for step in ("2", "4"):
        truncate(directory / "checkpoints" / step)
    before = {str(path): path.read_bytes() for path in data_files(directory)}
    with pytest.raises(UserError, match=r"No checkpoint .* \(that of step 4: .*; that of step 2: "):
        run(6, machine=MACHINE)
    after = {str(path): path.read_bytes() for path in data_files(directory)}
    lock = str(directory / "lock")
    assert {**before, lock: 0} == {**after, lock: 0}


def test_sampling_from_a_damaged_checkpoint_is_a_sentence(directory):
    truncate(directory / "checkpoints" / "4")
    with pytest.raises(UserError, match=r"The checkpoint of step 4 in .*run is damaged \(.*: name"):
        load_params(str(directory))
    assert load_params(str(directory), step=2)


def test_what_a_killed_process_left_half_written_is_removed(saved, directory, run):
    half = directory / "checkpoints" / "6.orbax-checkpoint-tmp"
    shutil.copytree(directory / "checkpoints" / "4" / "params", half / "params")
    state, _ = run(6, machine=MACHINE)
    assert_bitwise_equal(state, saved[1])
    assert not half.exists()


# Orbax leaves the coroutines of a failed save behind, and Python complains when they are collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_ends_the_run_with_a_sentence_and_keeps_what_was_good(saved, directory, run):
    state, _ = run(5, machine=Machine(checkpoint_every=0), name="other")  # All is compiled.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))  # No file may be larger.
    try:
        with pytest.raises(UserError, match=r"disk that holds .*run is full: free some space"):
            run(6, machine=MACHINE, log_every=100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    gc.collect()
    assert latest_step(str(directory)) == 4
    state, _ = run(6, machine=MACHINE)
    assert_bitwise_equal(state, saved[1])


def test_a_save_that_fails_is_not_waited_for(run, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(ocp.CheckpointManager, "save", fail)
    monkeypatch.setattr(ocp.CheckpointManager, "close", lambda _: pytest.fail("waits"))
    with pytest.raises(UserError, match=r"could not be written to .* Input/output error"):
        run(2, machine=MACHINE)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.EIO, "Input/output error"),
        ValueError("DATA_LOSS: Error reading local file: failed [os_error_code='5']"),
        ValueError("UNAVAILABLE: Error reading gs://a/b: connection reset"),
        OSError("Forbidden: https://storage.googleapis.com/b"),
    ],
)
def test_what_cannot_be_read_is_no_damage(error, directory, run, monkeypatch):
    def refuse(path):
        raise error

    monkeypatch.setattr(checkpoint_files, "read_run", refuse)
    with pytest.raises(UserError, match=r"checkpoints/4 cannot be read \(.*\): it may be whole"):
        run(6, machine=MACHINE)
    with pytest.raises(UserError, match=r"checkpoints/4 cannot be read"):
        load_params(str(directory))
    assert latest_step(str(directory)) == 4
    assert not (directory / "damaged").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up the rights of root")
def test_a_file_that_may_not_be_opened_is_no_missing_one():
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = pathlib.Path(folder) / "checkpoints" / "4"
        checkpoint.mkdir(parents=True)
        (checkpoint / "manifest.ocdbt").touch()
        os.chmod(folder, 0o755)
        os.chmod(checkpoint, 0o700)
        os.seteuid(65534)
        try:
            with (
                pytest.raises(UserError, match=r"cannot be read \(Permission denied\)"),
                checkpoint_files.reading(files.path(checkpoint)),
            ):
                raise FileNotFoundError("there is no manifest")  # as Orbax takes it
            with pytest.raises(UserError, match=r"cannot be listed \(Permission denied\)"):
                files.names_in(checkpoint)
        finally:
            os.seteuid(0)
        assert files.names_in(checkpoint) == ["manifest.ocdbt"]
        assert files.names_in(checkpoint / "none") is None
