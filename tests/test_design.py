"""Contract: the example diffs of docs/design.md fit the sources, and run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docs import rooms

ROOT = Path(__file__).parents[1]


def read_changes():
    """`(path, lines)` of each file that the page's diffs change; a line begins with its sign."""
    blocks = re.findall(r"^```diff\n(.*?)^```", rooms.PAGE.read_text(), re.MULTILINE | re.DOTALL)
    parts = re.split(r"^\+\+\+ ", "".join(blocks), flags=re.MULTILINE)[1:]
    return [(head, lines) for head, *lines in map(str.splitlines, parts)]


def apply(folder):
    for head, lines in read_changes():
        path = folder / head.removesuffix(" (new)")
        assert path.exists() != head.endswith(" (new)"), head
        before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
        after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
        text = path.read_text() if path.exists() else ""
        assert text.count(before) == 1 or not text, f"{head} has no such lines, or has them twice"
        path.write_text(text.replace(before, after) if text else after)


def copy_of_the_sources(folder):
    for name in ("babeldraw", "gin", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def test_the_diffs_fit_and_break_no_rule_of_the_house(tmp_path):
    copy_of_the_sources(tmp_path)
    apply(tmp_path)
    modules = rooms.read_modules(tmp_path)
    assert "babeldraw.objectives.colour" in modules
    assert not rooms.faults(modules, rooms.read_imports(modules), tmp_path)


@pytest.mark.slow
def test_they_run(tmp_path):
    copy_of_the_sources(tmp_path)
    apply(tmp_path)

    def babeldraw(*words):
        done = subprocess.run(
            [sys.executable, "-m", "babeldraw.cli.main", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    train = ["train", "--gin_file=gin/runs/colour.gin", "--model_dir=runs/colour"]
    code, _, errors = babeldraw(*train, "--gin.TRAIN_STEPS=50")
    assert code == 0, errors
    code, printed, _ = babeldraw("step", "--checkpoint=runs/colour")
    assert (code, printed) == (0, "50\n")
    # What the stage does not do is said, and no file of the command was changed for it.
    code, _, errors = babeldraw("sample", "a dog", "--checkpoint=runs/colour")
    assert code == 2 and "with the objective Colour, which draws no pictures" in errors

    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("a-brown-dog", "a-red-apple"):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(pictures / f"{name}.png")
    code, printed, errors = babeldraw("data", "inspect", f"named:{pictures}")
    said = "2 pictures were read of 2 (1 train, 1 validation)"
    assert code == 0 and said in printed, errors
