"""Contract: T5X is found and checked, and what is wrong with it is one sentence."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest

from babeldraw.cli.main import main
from babeldraw.errors import UserError
from babeldraw.t5x_models import found

PRETRAIN = ["t5x", "train", "--gin_file=gin/t5x/pretrain.gin"]


def refused(line, capsys):
    assert main(line) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_without_t5x_it_says_what_to_do(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv(found.VARIABLE, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = refused([*PRETRAIN, f"--model_dir={tmp_path}/run"], capsys)
    assert "T5X is not here" in said and found.VARIABLE in said and "docs/t5x.md" in said
    assert not (tmp_path / "run").exists()


def test_a_clone_that_is_missing_is_named(monkeypatch, tmp_path, capsys):
    (tmp_path / "t5x/t5x").mkdir(parents=True)
    monkeypatch.setenv(found.VARIABLE, str(tmp_path))
    said = refused(PRETRAIN, capsys)
    assert f"no clone of airio in {tmp_path}/airio" in said


def test_another_commit_is_named_by_what_it_lacks(fake_t5x):
    with pytest.raises(UserError, match=r"has no t5x.models, which is used here: .* cc342d4"):
        found.require()
    (fake_t5x / "models.py").write_text("class BaseModel:\n    pass\n")
    (fake_t5x / "trainer.py").write_text("class Trainer:\n    pass\n")
    importlib.invalidate_caches()
    with pytest.raises(UserError, match=r"has no t5x.trainer.Trainer._get_step_rng, which"):
        found.require()


def test_a_package_that_t5x_needs_is_named(fake_t5x):
    (fake_t5x / "models.py").write_text("import a_package_that_nobody_has\n")
    with pytest.raises(UserError, match=r"imports a_package_that_nobody_has, .*\[t5x\]"):
        found.require()


def test_the_commit_is_that_of_the_clone(fake_t5x):
    assert found.commit() == ""
    assert found.program("train") == fake_t5x / "train.py"
    clone = fake_t5x.parent
    person = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for line in (["init", "-q"], [*person, "commit", "-q", "--allow-empty", "-m", "a"]):
        subprocess.run(["git", *line], cwd=clone, check=True)
    assert re.fullmatch("[0-9a-f]{40}", found.commit())


PROGRAM = """
import sys
import __main__ as script
from babeldraw.errors import UserError

def train():
    raise UserError("the recipe is wrong; mend it.")

print(sys.argv[1:], file=sys.stderr)
if "--gin_file=gin/t5x/eval.gin" in sys.argv:
    script.train()
raise SystemExit(None)
"""


def test_a_program_is_run_with_the_recipe(fake_t5x, monkeypatch, capsys, tmp_path):
    """As `python t5x/train.py` would be, and its errors are sentences."""
    (fake_t5x / "train.py").write_text(PROGRAM)
    monkeypatch.setattr(found, "require", lambda: None)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    line = [*PRETRAIN, "--gin.TOKENIZER_CHECKPOINT=runs/a", f"--model_dir={tmp_path}/run"]
    assert main(line) == 0
    given = capsys.readouterr().err
    assert "'--gin_file=gin/t5x/pretrain.gin'" in given
    assert "TOKENIZER_CHECKPOINT='runs/a'" in given
    assert f"MODEL_DIR = '{tmp_path}/run'" in given and os.getcwd() in given
    assert main(["t5x", "train", "--gin_file=gin/t5x/eval.gin"]) == 2
    assert capsys.readouterr().err.endswith("the recipe is wrong; mend it.\n")
