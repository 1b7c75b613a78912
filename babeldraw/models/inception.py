"""InceptionV3 as FID reads it: TensorFlow's graph of 2015-12-05, not torchvision's own.

Against torchvision's (arXiv 1512.00567): average poolings leave the padding out of the mean, the
last block pools by maximum, and there are 1,008 classes. Always float32, never trained here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from babeldraw.models.feature_networks import conv

Params = Mapping[str, Any]
"""Layer name, blocks' layers nested, to `{"kernel": [height, width, in, out], "bias": [out]}`; of
`fc` to `{"kernel": [2048, 1008]}`. Batch norms are folded into the convolutions."""

SIDE = 299
FEATURES = 2048
CLASSES = 1008

_STEM = (
    # name, stride, padding, whether a pooling follows
    ("Conv2d_1a_3x3", 2, "VALID", False),
    ("Conv2d_2a_3x3", 1, "VALID", False),
    ("Conv2d_2b_3x3", 1, "SAME", True),
    ("Conv2d_3b_1x1", 1, "VALID", False),
    ("Conv2d_4a_3x3", 1, "VALID", True),
)
_TAILS = ("2a", "2b"), ("3a", "3b")

_BRANCHES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    # Of a block's kind, the convolutions of each branch; "!" shrinks (stride 2, no padding).
    "A": (
        ("branch1x1",),
        ("branch5x5_1", "branch5x5_2"),
        ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
    ),
    "B": (("branch3x3!",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3!")),
    "C": (
        ("branch1x1",),
        ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
        tuple(f"branch7x7dbl_{number}" for number in range(1, 6)),
    ),
    "D": (
        ("branch3x3_1", "branch3x3_2!"),
        ("branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4!"),
    ),
}

BLOCKS = (
    # name, kind, pooling of its last branch
    *((f"Mixed_5{letter}", "A", "average") for letter in "bcd"),
    ("Mixed_6a", "B", "shrink"),
    *((f"Mixed_6{letter}", "C", "average") for letter in "bcde"),
    ("Mixed_7a", "D", "shrink"),
    ("Mixed_7b", "E", "average"),
    ("Mixed_7c", "E", "largest"),
)


@dataclasses.dataclass(frozen=True)
class InceptionV3:
    """Pictures of 299 px in [-1, 1], already resized as the field at hand does it."""

    def __call__(
        self, params: Params, images: Float[Array, "batch 299 299 3"]
    ) -> tuple[Float[Array, "batch 2048"], Float[Array, "batch 1008"]]:
        """Features after the last pooling, and logits of the classes without their bias."""
        x = images.astype(jnp.float32)
        for name, stride, padding, pooled in _STEM:
            x = jax.nn.relu(conv(params[name], x, stride, padding))
            x = _largest(x, 2, "VALID") if pooled else x
        for name, kind, pooling in BLOCKS:
            block = params[name]
            branches = _split(block, x) if kind == "E" else _chains(block, x, _BRANCHES[kind])
            x = jnp.concatenate([*branches, _pooled(block, x, pooling)], axis=-1)
        features: jax.Array = x.mean((1, 2))
        return features, features @ jnp.asarray(params["fc"]["kernel"])


def _chains(
    block: Params, x: jax.Array, branches: Sequence[Sequence[str]]
) -> list[Float[Array, "batch height width _"]]:
    """One convolution after another in each branch."""
    outputs = []
    for branch in branches:
        y = x
        for name in branch:
            shrinks = name.endswith("!")
            settings = (2, "VALID") if shrinks else (1, "SAME")
            y = jax.nn.relu(conv(block[name.removesuffix("!")], y, *settings))
        outputs.append(y)
    return outputs


def _split(block: Params, x: jax.Array) -> list[Float[Array, "batch height width _"]]:
    """The two branches of the last blocks that end in two convolutions side by side."""
    chains = (("branch1x1",), ("branch3x3_1",), ("branch3x3dbl_1", "branch3x3dbl_2"))
    outputs = _chains(block, x, chains)
    for index, (name, tails) in enumerate(zip(("branch3x3", "branch3x3dbl"), _TAILS, strict=True)):
        y = outputs[index + 1]
        ends = [jax.nn.relu(conv(block[f"{name}_{tail}"], y)) for tail in tails]
        outputs[index + 1] = jnp.concatenate(ends, axis=-1)
    return outputs


def _pooled(
    block: Params, x: jax.Array, pooling: str
) -> Float[Array, "batch height width channels"]:
    """The last branch: a pooling of 3 x 3, and but for `shrink` a convolution after it."""
    if pooling == "shrink":
        return _largest(x, 2, "VALID")
    x = _largest(x, 1, "SAME") if pooling == "largest" else _average(x)
    return jax.nn.relu(conv(block["branch_pool"], x))


def _largest(x: jax.Array, stride: int, padding: str) -> jax.Array:
    window, strides = (1, 3, 3, 1), (1, stride, stride, 1)
    largest: jax.Array = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, padding)
    return largest


def _average(x: jax.Array) -> jax.Array:
    """Of what lies inside: at the edge of fewer than nine."""
    window, strides = (1, 3, 3, 1), (1, 1, 1, 1)
    sums, counts = (
        jax.lax.reduce_window(values, 0.0, jax.lax.add, window, strides, "SAME")
        for values in (x, jnp.ones((1, *x.shape[1:3], 1)))
    )
    average: jax.Array = sums / counts
    return average
