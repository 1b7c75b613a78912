"""Contract: of more pictures of a class those are kept that a probe takes for it most."""

import json

import numpy as np
import pytest
from PIL import Image

from babeldraw.cli.support.classifier import open_classifier
from babeldraw.cli.support.runs import open_run
from babeldraw.evaluation.probe import Probe
from babeldraw.evaluation.probe_files import Measured, save
from babeldraw.files import path
from tests.cli import runs
from tests.cli.test_sample import metadata, refused, sample

NAMES = ("fire fighter", "cook", "pilot")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_image_tokens(tmp_path_factory.mktemp("runs"), NAMES)


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """Of pixels, weights of noise; it has the classes in another order."""
    rng = np.random.default_rng(0)
    one = Probe(
        rng.normal(size=(1, 48, 3)), rng.normal(size=(1, 3)), np.array([0.01]), np.array([1.0])
    )
    folder = tmp_path_factory.mktemp("probe")
    facts = {"checkpoint": "unread", "step": 1, "classes": ["cook", "pilot", "fire fighter"]}
    save(path(folder), {"pixels": Measured(one, np.array([1.0]))}, facts)
    return folder


def test_the_share_that_is_most_probable_is_kept(run, probe, tmp_path, capsys):
    asked = ("--class", "fire fighter", "--class", "pilot", "--num_samples=2", "--seed=7")
    judged = ("--classifier", probe, "--keep=0.4")
    assert sample("--checkpoint", run, *asked, *judged, "--output", tmp_path) == 0
    drawn = open_run(run).sampler()(np.array([0, 2]), num_samples=5, seed=7)
    classifier = open_classifier(str(probe))
    printed = capsys.readouterr().out
    for stem, images, number in (("fire-fighter", drawn[0], 2), ("pilot", drawn[1], 1)):
        chances = classifier(images)[:, number]
        for rank, best in enumerate(np.argsort(-chances)[:2]):
            file = tmp_path / f"{stem}-{rank:02d}.png"
            with Image.open(file) as picture:
                np.testing.assert_array_equal(np.asarray(picture), images[best])
            said = metadata(file)
            assert said["sample"] == str(best) and json.loads(said["settings"])["keep"] == 0.4
            assert float(said["probability"]) == pytest.approx(chances[best], abs=1e-3)
            assert f"{file.name}  score {said['score'][:-1]}" in printed
    assert not (tmp_path / "pilot-02.png").exists()
    assert "  probability " in printed and "4 pictures and grid.png" in printed


def test_what_cannot_be_done(run, probe, tmp_path, capsys):
    output = ("--checkpoint", run, "--output", tmp_path)
    message = refused(capsys, *output, "--class=cook", "--keep=0.5")
    assert "--keep needs a --classifier to choose by" in message
    message = refused(capsys, *output, "--unconditional", "--classifier", probe)
    assert "--classifier judges what is drawn of a class" in message
    message = refused(capsys, *output, "--class=cook", "--classifier", tmp_path)
    assert "has no probe.json: make one with `babeldraw probe" in message
    text = runs.write_text_to_image(tmp_path)
    interactive = ("--interactive", "--classifier", probe, "--output", tmp_path)
    message = refused(capsys, "--checkpoint", text, *interactive)
    assert "--classifier judges classes, and" in message and "draws of a prompt" in message
