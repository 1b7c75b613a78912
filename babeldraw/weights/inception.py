"""InceptionV3's weights for FID, from the user's own file.

torch-fidelity and pytorch-fid read the same tensors, which each gives a file of its own name:
`weights-inception-2015-12-05-6726825d.pth` and `pt_inception-2015-12-05-6726825d.pth`.
"""

import os
from typing import Any

import jax
import numpy as np

from babeldraw.errors import UserError
from babeldraw.models.inception import CLASSES, FEATURES, SIDE, InceptionV3
from babeldraw.weights.state_files import folded, read_state, tensor

Params = dict[str, Any]


def inception_v3(path: str | os.PathLike[str]) -> Params:
    """Parameters of `models.inception.InceptionV3` from a .pth or .safetensors file.

    Raises:
      UserError: the file cannot be read or is of another network, such as torchvision's
        InceptionV3.
    """
    state = read_state(path)
    params: Params = {}
    for name in (key.removesuffix(".conv.weight") for key in state if key.endswith(".conv.weight")):
        block, _, layer = name.partition(".")
        node = params.setdefault(block, {}) if layer else params
        node[layer or block] = folded(state, f"{name}.conv", f"{name}.bn", path)
    classes = tensor(state, "fc.weight", path)
    if classes.shape != (CLASSES, FEATURES):
        raise UserError(
            f"The tensor fc.weight of {path} is {list(classes.shape)} and not "
            f"{[CLASSES, FEATURES]}: FID is of TensorFlow's InceptionV3 of 2015-12-05, as "
            "torch-fidelity and pytorch-fid have it (pt_inception-2015-12-05-6726825d.pth)."
        )
    params["fc"] = {"kernel": classes.T.copy()}
    _check(params, path)
    return params


def _check(params: Params, path: Any) -> None:
    """Runs the network on shapes alone."""
    picture = jax.ShapeDtypeStruct((1, SIDE, SIDE, 3), np.float32)
    try:
        jax.eval_shape(InceptionV3(), params, picture)
    except KeyError as error:
        raise UserError(
            f"{path} has no layer {error.args[0]}: is it the weights of another network than "
            "FID's InceptionV3?"
        ) from error
    except (TypeError, ValueError) as error:
        raise UserError(
            f"The layers of {path} do not fit each other as those of FID's InceptionV3 do: is it "
            "the weights of another network?"
        ) from error
