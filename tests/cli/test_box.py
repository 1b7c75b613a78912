"""Contract: the model in the box is small and whole, and draws what it is asked to."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import babeldraw
from babeldraw.cli.support import paths
from babeldraw.cli.support.named import EMOJI, find_model
from babeldraw.evaluation.retrieval import nearest
from benchmarks.emoji_model_scores import Cells

MOST_BYTES = 30e6
SEEN = "train"


@pytest.fixture(scope="module")
def box():
    return Path(find_model(EMOJI))


def test_it_is_small_and_its_files_are_those_that_the_docs_name(box):
    assert sum(path.stat().st_size for path in box.iterdir()) < MOST_BYTES
    config = json.loads((box / "config.json").read_text())
    docs = (paths.repository_root() / "docs" / "emoji_model.md").read_text()
    for network in config["networks"].values():
        found = hashlib.sha256((box / network["file"]).read_bytes()).hexdigest()
        assert found == network["sha256"] and found[:16] in docs
    # Nothing of the machine that trained it.
    for path in (box / "config.json", box / "README.md", box / "prompts.json"):
        assert not re.search(r"/(work|home|root|tmp|Users)/", path.read_text()), path


def test_it_draws_what_it_is_asked_to(box):
    """Of prompts drawn at random among those it was trained on; docs/emoji_model.md has more."""
    cells = Cells.read(32)
    rows = cells.some(SEEN, 12)
    model = babeldraw.load(EMOJI)
    prompts = [cells.cells[row].caption for row in rows]
    drawn = [one for (one,) in model.draw(prompts, plain=True, batch_size=len(rows))]
    pictures = [np.asarray(one.image.resize((32, 32), Image.Resampling.BOX)) for one in drawn]
    found = nearest(np.stack(pictures), cells.gallery.images)
    right = cells.gallery.concepts[found] == cells.gallery.concepts[rows]
    assert right.mean() >= 0.5
    assert drawn[0].image.size == (64, 64)


def test_it_enlarges(box):
    (drawn,) = babeldraw.load(EMOJI).draw("a red apple, noto style")
    assert drawn.image.size == (256, 256)
    red, _, blue = np.asarray(drawn.image).reshape(-1, 3).mean(axis=0)
    assert red > blue + 20
