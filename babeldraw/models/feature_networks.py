"""Frozen networks that turn pictures into features, for losses and for distances.

They are functions of their parameters (see `weights/feature_weights.py`), never trained here, and
always float32. Pictures come in [0, 1]; each network brings them to the range of its training.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

Params = Mapping[str, Any]
"""Layer name to `{"kernel": [height, width, in, out], "bias": [out]}`, nested where layers are."""


@dataclasses.dataclass(frozen=True)
class SqueezeNet:
    """SqueezeNet 1.1 (arXiv 1602.07360), in its Caffe form: first layer and poolings unpadded."""

    def __call__(
        self, params: Params, images: Float[Array, "batch height width 3"]
    ) -> tuple[Float[Array, "batch _ _ _"], ...]:
        """The seven activations that LPIPS (arXiv 1801.03924) reads.

        They are conv1 after its ReLU (64 channels, half the side), fire3 (128), fire5 (256),
        fire6 and fire7 (384), fire8 and fire9 (512).
        """
        x = 255 * images.astype(jnp.float32) - jnp.array([123.0, 117.0, 104.0])
        x = jax.nn.relu(conv(params["conv1"], x, stride=2, padding="VALID"))
        activations = [x]
        for number in range(2, 10):
            if number in (2, 4, 6):
                x = _max_pool(x)
            x = self._fire(params[f"fire{number}"], x)
            if number not in (2, 4):
                activations.append(x)
        return tuple(activations)

    def classify(
        self, params: Params, images: Float[Array, "batch height width 3"]
    ) -> Float[Array, "batch 1000"]:
        """Logits of the ImageNet classes; at its best on 227 px."""
        x = jax.nn.relu(conv(params["conv10"], self(params, images)[-1]))
        return x.mean((1, 2))

    def _fire(self, params: Params, x: jax.Array) -> jax.Array:
        x = jax.nn.relu(conv(params["squeeze"], x))
        expanded = [conv(params[name], x) for name in ("expand1x1", "expand3x3")]
        return jax.nn.relu(jnp.concatenate(expanded, axis=-1))


@dataclasses.dataclass(frozen=True)
class VGG16:
    """VGG16's convolutions (arXiv 1409.1556), for the pictures that torchvision trains on."""

    def __call__(
        self, params: Params, images: Float[Array, "batch height width 3"]
    ) -> tuple[Float[Array, "batch _ _ _"], ...]:
        """The last ReLU of each of the five stages (relu1_2, 2_2, 3_3, 4_3, 5_3).

        They have 64, 128, 256, 512 and 512 channels, at the full side, 1/2, 1/4, 1/8 and 1/16.
        """
        mean, stddev = jnp.array([0.485, 0.456, 0.406]), jnp.array([0.229, 0.224, 0.225])
        x = (images.astype(jnp.float32) - mean) / stddev
        activations = []
        for stage, depth in enumerate((2, 2, 3, 3, 3), start=1):
            if stage > 1:
                x = _largest(_largest(x, 2, axis=1), 2, axis=2)
            for layer in range(1, depth + 1):
                x = jax.nn.relu(conv(params[f"conv{stage}_{layer}"], x))
            activations.append(x)
        return tuple(activations)


LITE0_STAGES = (
    # blocks, kernel, stride of the first, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""EfficientNet-B0's table (arXiv 1905.11946), of which Lite0 drops squeeze-and-excitation."""


@dataclasses.dataclass(frozen=True)
class EfficientNetLite0:
    """EfficientNet-Lite0: B0 with ReLU6 and without squeeze-and-excitation.

    Batch norms are folded into the convolutions when the weights are read.
    """

    def __call__(
        self, params: Params, images: Float[Array, "batch height width 3"]
    ) -> Float[Array, "batch 1280"]:
        """Features after the global average pooling; pictures are resized to 224 px inside.

        The resize is bilinear and, where it shrinks, antialiased.
        """
        shape = (images.shape[0], 224, 224, 3)
        x = jax.image.resize(images.astype(jnp.float32), shape, "bilinear")
        x = relu6(conv(params["stem"], (255 * x - 127) / 128, stride=2))
        block = 0
        for blocks, _, first_stride, expansion, _ in LITE0_STAGES:
            for index in range(blocks):
                stride = first_stride if index == 0 else 1
                y = self._block(params[f"block{block}"], x, stride, expansion)
                x = x + y if x.shape == y.shape else y
                block += 1
        return relu6(conv(params["head"], x)).mean((1, 2))

    def classify(
        self, params: Params, images: Float[Array, "batch height width 3"]
    ) -> Float[Array, "batch 1000"]:
        """Logits of the ImageNet classes."""
        dense = params["dense"]
        logits: jax.Array = self(params, images) @ dense["kernel"] + dense["bias"]
        return logits

    def _block(self, params: Params, x: jax.Array, stride: int, expansion: int) -> jax.Array:
        if expansion > 1:
            x = relu6(conv(params["expand"], x))
        x = relu6(_depthwise(params["depthwise"], x, stride))
        return conv(params["project"], x)


def relu6(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`min(max(x, 0), 6)`."""
    return jnp.clip(x, 0, 6)


def conv(
    params: Mapping[str, ArrayLike],
    x: jax.Array,
    stride: int = 1,
    padding: str = "SAME",
) -> jax.Array:
    """A convolution and its bias."""
    y = jax.lax.conv_general_dilated(
        x,
        jnp.asarray(params["kernel"], jnp.float32),
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y + jnp.asarray(params["bias"])


def _depthwise(params: Mapping[str, ArrayLike], x: jax.Array, stride: int) -> jax.Array:
    """A "same" convolution of each channel alone, as a sum of shifted slices.

    With XLA's convolution of one group a channel the whole network is seven times slower on two CPU
    cores.
    """
    kernel = jnp.asarray(params["kernel"], jnp.float32)  # [side, side, 1, channels]
    side = kernel.shape[0]
    padding = jax.lax.padtype_to_pads(x.shape[1:3], (side, side), (stride, stride), "SAME")
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    height, width = ((n - side) // stride + 1 for n in x.shape[1:3])
    y = jnp.asarray(params["bias"])
    for row in range(side):
        for column in range(side):
            end = (row + (height - 1) * stride + 1, column + (width - 1) * stride + 1)
            y = y + x[:, row : end[0] : stride, column : end[1] : stride] * kernel[row, column, 0]
    return y


def _max_pool(x: jax.Array) -> jax.Array:
    """3x3 with stride 2; the last window may hang over the edge (Caffe rounds the side up)."""
    for axis in (1, 2):
        n = x.shape[axis]
        windows = max(0, -(-(n - 3) // 2)) + 1
        pad = [(0, 0)] * 4
        pad[axis] = (0, max(0, 2 * windows + 1 - n))
        x = _largest(jnp.pad(x, pad, constant_values=-jnp.inf), 3, axis)
    return x


def _largest(x: jax.Array, window: int, axis: int) -> jax.Array:
    """Maximum over windows along one axis, with stride 2, unpadded.

    Made of slices, because XLA's gradient of `reduce_window` is slow on CPU.
    """
    count = (x.shape[axis] - window) // 2 + 1
    starts = [
        jax.lax.slice_in_dim(x, offset, offset + 2 * count - 1, 2, axis) for offset in range(window)
    ]
    result = starts[0]
    for other in starts[1:]:
        result = jnp.maximum(result, other)
    return result
