"""Kernels as int8 with a float32 scale for each output channel, to be multiplied as they are.

A kernel is read at every step of drawing, and at small batches reading is what takes the time: one
byte a weight in the place of two or four. Weights alone are rounded; what they are multiplied with,
and the sums, keep the dtype of the model. Off by half a scale at most, which is a channel's largest
magnitude by 127.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

SCALES = "scales"
"""The collection of int8 kernels' scales: where a kernel has one, `layers.Linear` uses it."""


class Quantized(NamedTuple):
    """A kernel `int8[...]`: its product with `scale`, of length 1 along the kernel's inputs."""

    values: Any
    scale: Any


def quantize(params: Any, name: str = "") -> Any:
    """`params` with a `Quantized` in the place of each kernel; the rest is as it is.

    Args:
      params: of a Transformer, unboxed, on its devices, where they stay; or their shapes.
    """
    if isinstance(params, Mapping):
        return {key: quantize(value, f"{name}/{key}") for key, value in params.items()}
    *parents, leaf = name.split("/")
    return _quantized(params, input_axes(parents, params.ndim)) if leaf == "kernel" else params


def split(params: Any) -> tuple[Any, Any]:
    """`quantize`d parameters as two trees: with int8 values in the kernels' places; of scales."""
    values: dict[str, Any] = {}
    scales: dict[str, Any] = {}
    for key, value in params.items():
        if isinstance(value, Mapping):
            values[key], inner = split(value)
            scales |= {key: inner} if inner else {}
        elif isinstance(value, Quantized):
            values[key], scales[key] = value
        else:
            values[key] = value
    return values, scales


def input_axes(parents: Sequence[str], ndim: int) -> tuple[int, ...]:
    """The axes that an output channel of a kernel sums over.

    A kernel has its inputs first, behind the axis that counts layers; attention's `output` has two
    of them (heads, their width), a convolution three.

    Args:
      parents: names on the way to it.
    """
    lead = int("layers" in parents)
    inputs = 2 if parents[-1] == "output" and ndim == lead + 3 else 1
    if ndim == 4 and not lead:
        inputs = 3
    return tuple(range(lead, lead + inputs))


def rounded(weight: Any, axes: tuple[int, ...]) -> Quantized:
    """int8 in [-127, 127], and float32 scales of one along `axes`; of NumPy's arrays or JAX's."""
    xp = weight.__array_namespace__()
    largest = xp.max(xp.abs(weight), axis=axes, keepdims=True)
    scale = xp.where(largest > 0, largest / 127, 1).astype(xp.float32)
    return Quantized(xp.rint(weight / scale).astype(xp.int8), scale)


def _quantized(kernel: Any, inputs: tuple[int, ...]) -> Quantized:
    where = kernel.sharding if isinstance(kernel.sharding, NamedSharding) else None
    of_scale = None
    if where is not None:
        axes = tuple(where.spec) + (None,) * (kernel.ndim - len(where.spec))
        kept = (None if axis in inputs else name for axis, name in enumerate(axes))
        of_scale = NamedSharding(where.mesh, PartitionSpec(*kept))
    if isinstance(kernel, jax.ShapeDtypeStruct):
        shape = tuple(1 if axis in inputs else n for axis, n in enumerate(kernel.shape))
        return Quantized(
            jax.ShapeDtypeStruct(kernel.shape, jnp.int8, sharding=where),
            jax.ShapeDtypeStruct(shape, jnp.float32, sharding=of_scale),
        )
    split_alike = jax.jit(
        functools.partial(rounded, axes=inputs), out_shardings=Quantized(where, of_scale)
    )
    result: Quantized = split_alike(kernel)
    return result
