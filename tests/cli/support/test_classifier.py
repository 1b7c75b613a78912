"""Contract: a probe's directory gives the classifier of the run that it was made of."""

import json

import numpy as np
import pytest

from babeldraw.cli.support.classifier import numbers_of, open_classifier
from babeldraw.cli.support.runs import open_run
from babeldraw.errors import UserError
from babeldraw.evaluation.probe import Probe, pixels
from babeldraw.evaluation.probe_files import Measured, save
from babeldraw.files import path
from tests.cli import runs
from tests.models import tiny

PICTURES = tiny.images(4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.write_tokenizer(tmp_path_factory.mktemp("runs"))


def write(folder, run, network, width, step=1):
    """Weights of noise, for two classes."""
    rng = np.random.default_rng(0)
    weights, biases = rng.normal(size=(1, width, 2)), rng.normal(size=(1, 2))
    probe = Probe(weights, biases, np.array([0.01]), np.array([1.0]))
    facts = {"checkpoint": run, "step": step, "classes": ["cat", "dog"]}
    save(path(folder), {network: Measured(probe, np.array([1.0]))}, facts)
    return weights[0], biases[0]


def probabilities(features, weights, biases):
    chances = np.exp(features[:, 0] @ weights + biases)
    return chances / chances.sum(axis=1, keepdims=True)


def test_a_network_of_the_run_and_pixels(run, tmp_path):
    layer = write(tmp_path, run, "tokenizer", 16)
    features = open_run(run).features()["tokenizer"](PICTURES)
    found = open_classifier(str(tmp_path))(PICTURES)
    np.testing.assert_allclose(found, probabilities(features, *layer), rtol=1e-4)

    layer = write(tmp_path, "runs/gone", "pixels", 48)
    found = open_classifier(str(tmp_path))(PICTURES)
    np.testing.assert_allclose(found, probabilities(pixels(PICTURES), *layer), rtol=1e-4)


def test_what_cannot_be_done(run, tmp_path):
    write(tmp_path, run, "tokenizer", 16, step=3)
    with pytest.raises(UserError, match="which is at step 1 now: run `babeldraw probe`"):
        open_classifier(str(tmp_path))
    write(tmp_path, run, "tokenizer", 16)
    classifier = open_classifier(str(tmp_path))
    assert numbers_of(classifier, ["dog", "cat"], "DIR") == [1, 0]
    with pytest.raises(UserError, match="does not know the class 'owl': it was trained on 2"):
        numbers_of(classifier, ["cat", "owl"], "DIR")
    facts = json.loads((tmp_path / "probe.json").read_text())
    facts["classifier"]["network"] = "decoder"
    (tmp_path / "probe.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match="has no network 'decoder'"):
        open_classifier(str(tmp_path))
