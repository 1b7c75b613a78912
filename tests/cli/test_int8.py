"""Contract: `--int8` draws with rounded weights wherever there is a model, and pictures say so."""

import json

import numpy as np
import pytest
from PIL import Image

import babeldraw
from babeldraw.cli.main import main
from babeldraw.cli.support.models import open_model
from babeldraw.serving.models import open_drawers
from tests.cli import runs
from tests.quick import compiled_quickly  # noqa: F401

TEXT = "woman cook"


@pytest.fixture(scope="module")
def run(tmp_path_factory, compiled_quickly):  # noqa: F811
    return runs.write_text_to_image(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("export") / "model")
    assert main(["export", "--checkpoint", run, "--output", folder]) == 0
    return folder


def test_a_run_and_its_export_draw_the_same_and_say_so(run, exported, tmp_path):
    pictures = []
    for number, checkpoint in enumerate((run, exported)):
        folder = tmp_path / str(number)
        words = ["sample", TEXT, "--num_samples=1", f"--output={folder}", "--int8"]
        assert main([*words, "--checkpoint", checkpoint]) == 0
        with Image.open(folder / "woman-cook-00.png") as picture:
            pictures.append(np.asarray(picture))
            assert json.loads(picture.text["settings"])["int8"] is True
    np.testing.assert_array_equal(*pictures)


def test_it_is_other_weights_that_draw(run):
    plain, small = (babeldraw.load(run, int8=given).draw(TEXT, n=2) for given in (False, True))
    assert [one.score for one in plain] != [one.score for one in small]
    (drawer,) = open_drawers([("tiny", run)], int8=True).values()
    texts, _ = drawer.read([TEXT])
    found = drawer.sampler.generate(texts, num_samples=2)
    expected = open_model(run, int8=True).sampler().generate(texts, num_samples=2)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    np.testing.assert_allclose([one.score for one in small], found.scores[0], rtol=1e-5)
