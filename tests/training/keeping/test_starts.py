import json
import shutil
import subprocess
import sys

import jax

import babeldraw
from babeldraw.training.keeping import starts


def test_each_start_of_a_run_is_written_down(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/babeldraw", "train", "--gin.A='b c'"])
    run(1, seed=3)
    run(2, seed=3)
    run(2, seed=3)  # nothing left to do
    lines = (tmp_path / "run" / starts.NAME).read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [start["step"] for start in found] == [0, 1]
    assert found[0]["command"] == """babeldraw train '--gin.A='"'"'b c'"'"''"""
    assert found[0]["seed"] == 3 and found[0]["devices"] == 1
    assert found[0]["babeldraw"] == babeldraw.__version__
    assert found[0]["device"] == jax.devices()[0].device_kind


def test_the_commit_is_that_of_the_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(babeldraw, "__file__", str(tmp_path / "babeldraw" / "__init__.py"))
    assert starts.commit() == ""
    git = [shutil.which("git"), "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "a").touch()
    for command in (["init", "-q"], ["add", "a"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert starts.commit() and head.stdout.startswith(starts.commit())
    (tmp_path / "a").write_text("changed")
    assert starts.commit().endswith("-dirty")


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert starts.commit() == ""
