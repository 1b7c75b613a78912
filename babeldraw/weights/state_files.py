"""Tensors by name from a .pth or .safetensors file, and the layers that are made of them."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from babeldraw.errors import UserError
from babeldraw.weights.torch_files import read_state_dict

State = Mapping[str, np.ndarray]


def read_state(path: str | os.PathLike[str]) -> State:
    """The tensors of a file: safetensors where its name says so, else what PyTorch saves.

    Raises:
      UserError: it cannot be read, is damaged, or holds anything but tensors by name.
    """
    path = pathlib.Path(path)
    if path.suffix != ".safetensors":
        return read_state_dict(path)
    import safetensors
    import safetensors.numpy

    try:
        return safetensors.numpy.load_file(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or error}): name a weights file that is here."
        ) from error
    except Exception as error:  # of a type that NumPy has not, the reader raises what it likes
        raise UserError(
            f"{path} is no readable safetensors file ({error}): fetch or save it anew."
        ) from error


def tensor(state: State, name: str, path: Any) -> np.ndarray:
    """One tensor as float32.

    Raises:
      UserError: there is none of this name.
    """
    if name not in state:
        raise UserError(f"{path} has no tensor {name}: is it the weights of another network?")
    return state[name].astype(np.float32)


def kernel(state: State, name: str, path: Any) -> np.ndarray:
    """Of a convolution, as [height, width, in, out]; PyTorch has it as [out, in, height, width].

    Raises:
      UserError: there is none of this name, or it is no convolution's.
    """
    found = tensor(state, name, path)
    if found.ndim != 4:
        raise UserError(
            f"The tensor {name} of {path} is {list(found.shape)} and no convolution's: is it the "
            "weights of another network?"
        )
    return found.transpose(2, 3, 1, 0)


def folded(state: State, conv: str, norm: str, path: Any) -> dict[str, np.ndarray]:
    """A convolution without bias and the batch norm (epsilon 1e-3) after it, as one.

    Raises:
      UserError: a tensor is missing, or has not the shape that the others say.
    """
    weight = kernel(state, f"{conv}.weight", path)
    names = [f"{norm}.{name}" for name in ("running_mean", "running_var", "weight", "bias")]
    vectors = [tensor(state, name, path).astype(np.float64) for name in names]
    for name, vector in zip(names, vectors, strict=True):
        if vector.shape != weight.shape[3:]:
            raise UserError(
                f"The tensor {name} of {path} is {list(vector.shape)} where the convolution "
                f"before it has {weight.shape[3]} channels: is it the weights of another network?"
            )
    mean, variance, scale, shift = vectors
    factor = scale / np.sqrt(variance + 1e-3)
    bias = shift - mean * factor
    return {"kernel": (weight * factor).astype(np.float32), "bias": bias.astype(np.float32)}
