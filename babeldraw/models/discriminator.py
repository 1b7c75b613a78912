"""StyleGAN2's residual discriminator (arXiv 1912.04958): what tells pictures from reconstructions.

The tokenizer and super-resolution train against it (the patent's adversarial loss).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from babeldraw.errors import UserError
from babeldraw.parallel.rules import with_logical_constraint
from babeldraw.ranges import Count, FloatType
from babeldraw.sizes import Size, height_and_width, in_words

SMALLEST = 4
"""Pixels of the shorter side, or up to twice as many, where the residual blocks end."""

GROUP = 4
"""Most pictures over which the minibatch standard deviation is taken."""


class EqualizedConv(nn.Module):
    """A convolution of N(0, 1) weights times `1 / sqrt(fan_in)` at run time (arXiv 1710.10196).

    So Adam, whose steps do not know the size of a weight, moves every layer at the same rate.

    Attributes:
      features: channels of the output.
      kernel_size: pixels a side. "Same" padding at stride 1, none at stride 2.
      activate: leaky ReLU of slope 0.2 times sqrt(2), which keeps the variance of its input.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    use_bias: bool = True
    activate: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 features"]:
        axes = ("conv_height", "conv_width", "conv_in", "conv_out")
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        init = nn.with_logical_partitioning(nn.initializers.normal(1.0), axes)
        kernel = self.param("kernel", init, shape) / math.sqrt(math.prod(shape[:3]))
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            (self.stride, self.stride),
            "SAME" if self.stride == 1 else "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        if self.use_bias:
            zeros = nn.with_logical_partitioning(nn.initializers.zeros, axes[-1:])
            y = y + self.param("bias", zeros, (self.features,)).astype(self.dtype)
        return leaky_relu(y) if self.activate else y


class EqualizedDense(nn.Module):
    """A matrix product with the weights, bias and activation of `EqualizedConv`, in float32."""

    features: int
    activate: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "b inputs"]) -> Float[Array, "b features"]:
        axes = ("conv_in", "conv_out")
        init = nn.with_logical_partitioning(nn.initializers.normal(1.0), axes)
        kernel = self.param("kernel", init, (x.shape[-1], self.features))
        zeros = nn.with_logical_partitioning(nn.initializers.zeros, axes[-1:])
        y = x @ (kernel / math.sqrt(x.shape[-1])) + self.param("bias", zeros, (self.features,))
        return leaky_relu(y) if self.activate else y


def leaky_relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Slope 0.2 below zero, times sqrt(2)."""
    return jnp.where(x >= 0, x, 0.2 * x) * jnp.asarray(math.sqrt(2), x.dtype)


def blur(x: Float[Array, "b h w c"], padding: int, stride: int = 1) -> Float[Array, "b h2 w2 c"]:
    """Low-pass filter [1, 3, 3, 1] / 8 along both sides, against aliasing where pixels are dropped.

    Sums of shifted slices: on two CPU cores, 60 to 80 times faster than the same filter as a
    convolution of one group a channel, and 20 times with its gradient.

    Args:
      padding: pixels of zeros around the picture.
      stride: which output pixels are made.
    """
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    for axis in (1, 2):
        last = x.shape[axis] - 3
        a, b, c, d = (
            jax.lax.slice_in_dim(x, start, start + last, stride, axis) for start in range(4)
        )
        x = (a + d) * 0.125 + (b + c) * 0.375
    return x


def minibatch_deviation(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c2"]:
    """`x` with one more channel: how much pictures of a group differ (arXiv 1710.10196).

    A group is the largest number of pictures up to 4 that divides the batch, and its pictures stand
    next to each other, so that a sharded batch need not be moved. The published code takes
    pictures that are `batch / 4` apart; batches are shuffled, so both are random groups.
    """
    batch, height, width, _ = x.shape
    group = max(size for size in range(1, GROUP + 1) if batch % size == 0)
    grouped = x.reshape(batch // group, group, *x.shape[1:])
    variance = jnp.var(grouped, axis=1)
    deviation = jnp.mean(jnp.sqrt(variance + 1e-8), axis=(1, 2, 3))
    channel = jnp.broadcast_to(
        jnp.repeat(deviation, group)[:, None, None, None], (batch, height, width, 1)
    )
    return jnp.concatenate([x, channel], axis=-1)


class Block(nn.Module):
    """Halves the picture: two convolutions beside a 1x1 skip, summed and divided by sqrt(2)."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 features"]:
        # The filter and a 1x1 convolution commute: only the pixels that are kept get filtered.
        skip = EqualizedConv(
            self.features, 1, use_bias=False, activate=False, dtype=self.dtype, name="skip"
        )(blur(x, padding=1, stride=2))
        y = EqualizedConv(x.shape[-1], dtype=self.dtype, name="first")(x)
        y = blur(y, padding=2)
        y = EqualizedConv(self.features, stride=2, dtype=self.dtype, name="second")(y)
        total: jax.Array = y + skip
        return total * jnp.asarray(math.sqrt(0.5), self.dtype)


class Discriminator(nn.Module):
    """Pictures -> logits: positive for real ones.

    Attributes:
      image_size: side, or height and width; see `halvings`.
      channel_base, max_channels: a layer at `r` pixels of the shorter side has
        `min(channel_base / r, max_channels)` channels; 28.9M parameters at 256 x 256 pixels.
      dtype: of the convolutions. Weights are float32, and so are the layers after the last halving.
    """

    image_size: Size
    channel_base: Count = 32768
    max_channels: Count = 512
    dtype: FloatType = jnp.bfloat16

    def channels(self, resolution: int) -> int:
        """Channels at `resolution` pixels of the shorter side."""
        return min(self.channel_base // resolution, self.max_channels)

    @property
    def halvings(self) -> int:
        """As many as leave the shorter side 4 to 7 pixels: of squares of 2^n pixels, 4.

        Raises:
          UserError: a side does not halve so often, or not once.
        """
        sides = height_and_width(self.image_size)
        count = max(1, (min(sides) // SMALLEST).bit_length() - 1)
        if min(sides) < 2 * SMALLEST or any(side % 2**count for side in sides):
            raise UserError(
                "The discriminator halves pictures until their shorter side has 4 to 7 pixels, and "
                f"these are {in_words(self.image_size)}: make both sides multiples of {2**count}, "
                f"{2 * SMALLEST} at least (IMAGE_SIZE), or turn the adversarial loss off."
            )
        return count

    @nn.compact
    def __call__(self, images: Float[Array, "batch height width 3"]) -> Float[Array, "batch"]:
        """Images in [0, 1] -> float32 logits."""
        size = min(height_and_width(self.image_size))
        x = EqualizedConv(self.channels(size), 1, dtype=self.dtype, name="from_rgb")(images * 2 - 1)
        x = with_logical_constraint(x, ("batch", None, None, None))
        for _ in range(self.halvings):
            size //= 2
            x = Block(self.channels(size), self.dtype, name=f"block_{size}")(x)
        x = minibatch_deviation(x.astype(jnp.float32))
        x = EqualizedConv(self.channels(size), name="last_conv")(x)
        x = EqualizedDense(self.channels(size), name="last_dense")(x.reshape(x.shape[0], -1))
        logits: jax.Array = EqualizedDense(1, activate=False, name="logit")(x)
        return logits[:, 0]
