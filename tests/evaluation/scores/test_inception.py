"""InceptionV3 gives the activations of torch-fidelity and pytorch-fid, from the same file."""

import numpy as np
import pytest
import safetensors.numpy

from babeldraw.errors import UserError
from babeldraw.evaluation.scores.base import Pictures
from babeldraw.evaluation.scores.feature_network import inception
from babeldraw.weights.inception import inception_v3
from benchmarks import made_inception
from benchmarks.made_inputs import inputs
from tests.evaluation.scores.recorded import RECORDED


@pytest.fixture(scope="module")
def state():
    return made_inception.state()


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.safetensors"
    safetensors.numpy.save_file(state, path)
    return path


def sample(features):
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.concatenate([features[:, ::64], lengths], axis=1)


def close(found, name):
    expected = np.array(RECORDED["inception"][name])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("resizing", ["torch-fidelity", "pytorch-fid"])
def test_activations_are_those_of_the_other_package(weights, resizing):
    network = inception(weights, resizing, batch_size=8)
    for name in ("pictures", "wide"):
        ((features, logits),) = network(Pictures(inputs()[name]))
        close(sample(features), f"{resizing} {name}")
        if resizing == "torch-fidelity":
            close(sample(logits), f"{resizing} {name} logits")
    assert network.settings["resizing"] == resizing
    assert len(network.settings["weights_sha256"]) == 64


def refused(tmp_path, state, match):
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file(state, path)
    with pytest.raises(UserError, match=match) as caught:
        inception_v3(path)
    assert "\n" not in str(caught.value)


def test_weights_of_another_layout_are_one_sentence(tmp_path, state):
    classes = np.zeros((1000, 2048), np.float32)
    refused(tmp_path, {**state, "fc.weight": classes}, r"\[1000, 2048\] and not \[1008, 2048\]")
    block = {name: array for name, array in state.items() if not name.startswith("Mixed_6c.")}
    refused(tmp_path, block, "has no layer Mixed_6c")
    kernel = "Mixed_5b.branch1x1.conv.weight"
    refused(tmp_path, {**state, kernel: state[kernel][:, :100]}, "do not fit each other")
    refused(tmp_path, {**state, kernel: state[kernel][:50]}, "where the convolution")
    refused(tmp_path, {"conv.weight": classes}, "of another network")


def test_a_damaged_safetensors_header_is_one_sentence(tmp_path, weights):
    path = tmp_path / "damaged.safetensors"
    whole = weights.read_bytes()[:4000]
    for data in (b"", whole, b"\xff" * 8 + whole[8:], whole[:8] + b"x" + whole[9:]):
        path.write_bytes(data)
        with pytest.raises(UserError, match="no readable safetensors file") as caught:
            inception_v3(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="cannot be read"):
        inception(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="resizing 'bicubic' is unknown"):
        inception(weights, "bicubic")
