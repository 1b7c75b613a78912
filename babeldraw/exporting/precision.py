"""Weights as a file holds them: float32, bfloat16, or int8 with a scale for each output channel."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import ml_dtypes
import numpy as np
from jaxtyping import Shaped

from babeldraw.models import int8

Precision = Literal["float32", "bfloat16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

SCALE = ".scale"
"""What follows the name of an int8 array in that of its scales."""

Arrays = dict[str, Shaped[np.ndarray, "..."]]


def to_arrays(params: Any, precision: Precision) -> Arrays:
    """Parameters by name, such as `decoder.layers.mlp.wi.kernel`, rounded to `precision`.

    As int8, kernels and tables are rounded; norms, biases and the codebook stay float32.
    """
    arrays: Arrays = {}
    for name, value in flatten(params).items():
        weight = np.asarray(value, np.float32)
        if precision == "bfloat16":
            arrays[name] = weight.astype(ml_dtypes.bfloat16)
        elif precision == "int8" and (axes := input_axes(name, weight.ndim)):
            arrays[name], arrays[name + SCALE] = int8.rounded(weight, axes)
        else:
            arrays[name] = weight
    return arrays


def from_arrays(arrays: Mapping[str, Shaped[np.ndarray, "..."]]) -> dict[str, Any]:
    """The parameters as float32; `to_arrays` with "float32" loses nothing."""
    params: dict[str, Any] = {}
    for name, array in arrays.items():
        if name.endswith(SCALE) and name.removesuffix(SCALE) in arrays:
            continue  # but a norm's own scale is no scale of another array
        weight = np.asarray(array).astype(np.float32)
        if array.dtype == np.int8:
            weight = weight * arrays[name + SCALE]
        *parents, leaf = name.split(".")
        node = params
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = weight
    return params


def flatten(params: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves by the names of their parents and their own, joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def input_axes(name: str, ndim: int) -> tuple[int, ...]:
    """The axes that an output channel of the array sums over; none of what is never rounded.

    A row of a table is a channel.
    """
    *parents, leaf = name.split(".")
    if leaf == "table":
        return (ndim - 1,)
    return int8.input_axes(parents, ndim) if leaf == "kernel" else ()
