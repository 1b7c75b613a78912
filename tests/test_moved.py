import importlib
import subprocess
import sys

import pytest

from babeldraw.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_old_names_are_the_modules_of_today(old, monkeypatch):
    parent = sys.modules.get(old.rpartition(".")[0])
    with pytest.warns(FutureWarning, match=f"{old} is now {MOVED[old]}"):
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__name__ == MOVED[old]
    sys.modules.pop(old)
    if parent is not None:
        monkeypatch.delattr(parent, old.rpartition(".")[2], raising=False)


READ = """
import sys
import gin
from babeldraw.cli.support.gin_config import parse_gin

parse_gin([sys.argv[1]], [])
print(gin.query_parameter("checkpoints.load_tokenizer.model_dir"))
"""


def test_a_recipe_with_an_old_name_is_read(tmp_path):
    """In a process of its own: gin keeps the names by which it has met a function."""
    recipe = tmp_path / "old.gin"
    recipe.write_text(
        "from __gin__ import dynamic_registration\n"
        "from babeldraw.training import checkpoints\n"
        "checkpoints.load_tokenizer.model_dir = 'runs/tokenizer'\n"
    )
    command = [sys.executable, "-c", READ, recipe]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "runs/tokenizer\n"
    assert "babeldraw.training.checkpoints is now babeldraw.training.keeping" in result.stderr


def test_what_never_was_stays_an_error():
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("babeldraw.training.nothing")
