"""Contract: `--trainer=t5x` puts T5X's trainer in the place of ours on every target.

After a change that is meant, with BABELDRAW_UPDATE_GOLDEN=1 in the environment it writes the files.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

from babeldraw.t5x_models import found
from launch import job, run
from launch.babysitter import latest_checkpoint
from tests.launch.test_dry_run import GOLDEN, TASK, dry_run

PLACE = {
    "local": ["--config=configs/cpu.py", "--num_processes=2"],
    "tpu_vm": ["--config=configs/v5e_16.py"],
    "gke": ["--config=configs/v5e_16.py", "--cluster=CLUSTER", "--image=REGISTRY/babeldraw:1"],
    "slurm": ["--config=configs/v5e_16.py"],
}


@pytest.fixture
def clones(monkeypatch):
    """What is asked for of T5X before it is sent: three folders that git knows.

    In a folder whose name is always as long: lines of the scripts are broken by their length.
    """
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for name in found.REPOSITORIES:
            clone = Path(folder) / name
            (clone / name).mkdir(parents=True)
            (clone / name / f"{name}.py").touch()
            subprocess.run(["git", "init", "-q"], cwd=clone, check=True)
            subprocess.run(["git", "add", "."], cwd=clone, check=True)
        monkeypatch.setenv(found.VARIABLE, folder)
        yield Path(folder)


def arguments(on):
    recipe = ["--gin_file=gin/t5x/pretrain.gin", "--gin_file=gin/models/350m.gin", *TASK]
    settings = ["--gin.BATCH_SIZE=512", "--gin.TOKENIZER_CHECKPOINT='gs://BUCKET/tokenizer'"]
    where = [f"--on={on}", "--trainer=t5x", "--model_dir=gs://BUCKET/babeldraw-t5x"]
    return [*where, *PLACE[on], *recipe, *settings]


@pytest.mark.parametrize("on", PLACE)
def test_golden(on, clones, capsys, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    shown = dry_run(arguments(on), capsys).replace(str(clones), "/clones")
    shown = shown.replace(sys.executable, "python")
    path = GOLDEN / f"t5x_{on}.sh"
    if os.environ.get("BABELDRAW_UPDATE_GOLDEN"):
        path.write_text(shown)
    assert shown == path.read_text()
    subprocess.run(["bash", "-n"], input=shown, text=True, check=True)
    assert "t5x train" in " ".join(shown.replace("- ", "").split())


def test_without_clones_nothing_is_launched(monkeypatch, capsys):
    monkeypatch.delenv(found.VARIABLE, raising=False)
    assert run.main([*arguments("tpu_vm"), "--dry-run"]) == 2
    assert "T5X is not here" in capsys.readouterr().err


def test_other_jobs_are_ours(clones, capsys):
    line = ["--on=local", "--trainer=t5x", "--job=sample", "--model_dir=runs/a", "--dry-run"]
    assert run.main(line) == 2
    assert "--trainer t5x trains, and --job is sample" in capsys.readouterr().err


def test_the_clones_are_packed_where_workers_look(clones, tmp_path):
    archive = tmp_path / "sent.tar.gz"
    command = ["bash", "launch/pack.sh", str(archive), str(clones)]
    subprocess.run(command, check=True, capture_output=True, cwd=job.repository_root())
    with tarfile.open(archive) as packed:
        names = set(packed.getnames())
    assert "babeldraw/cli/t5x.py" in names
    for name in found.REPOSITORIES:
        assert f"{job.PACKED}/{name}/{name}/{name}.py" in names


def test_progress_is_seen_in_checkpoints_of_t5x(tmp_path):
    assert latest_checkpoint(str(tmp_path)) is None
    for name in ("checkpoint_10", "checkpoint_200", "checkpoint_300.orbax-checkpoint-tmp"):
        (tmp_path / name).mkdir()
    assert latest_checkpoint(str(tmp_path)) == 200
