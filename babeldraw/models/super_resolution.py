"""The network that enlarges reconstructed pictures: stacked residual convolutions (the patent).

After WDSR (arXiv 1808.08718), as arXiv 2206.10789 sizes it: 12 blocks of 128 channels an
enlargement by 2, about 15M parameters to double 256 pixels and about 30M to quadruple them.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from babeldraw.parallel.rules import with_logical_constraint
from babeldraw.ranges import Count, FloatType

FACTORS = (2, 4)

_AXES = ("conv_height", "conv_width", "conv_in", "conv_out")


def convolution(features: int, dtype: DTypeLike, name: str, scale: float = 1.0) -> nn.Conv:
    """3x3, same size, with bias; `scale` is that of the variance of its fresh weights."""
    init = nn.initializers.zeros
    if scale:
        init = nn.initializers.variance_scaling(scale, "fan_in", "truncated_normal")
    return nn.Conv(
        features,
        (3, 3),
        dtype=dtype,
        kernel_init=nn.with_logical_partitioning(init, _AXES),
        bias_init=nn.with_logical_partitioning(nn.initializers.zeros, _AXES[-1:]),
        name=name,
    )


def enlarge(images: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c"]:
    """Bilinear, with pixels as squares (half-pixel centres)."""
    batch, height, width, channels = images.shape
    shape = (batch, factor * height, factor * width, channels)
    enlarged: jax.Array = jax.image.resize(images, shape, "bilinear")
    return enlarged


class Block(nn.Module):
    """`x + conv(relu(conv(x)))`, four times as wide in the middle."""

    channels: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "b h w channels"]) -> Float[Array, "b h w channels"]:
        y: jax.Array = nn.relu(convolution(4 * self.channels, self.dtype, "widen", 2.0)(x))
        # A tenth of the deviation of x: a fresh block is near the identity, however many follow.
        y = convolution(self.channels, self.dtype, "narrow", 0.01)(y)
        return x + y


class SuperResolver(nn.Module):
    """Pictures -> pictures with `factor` times the pixels a side.

    A stage doubles: blocks, then a convolution to four times the channels, each four of which
    become 2x2 pixels (arXiv 1609.05158). What comes of it is added to the bilinear enlargement;
    the last layer starts at 0, so a fresh network gives just that.

    Attributes:
      factor: 2 (one stage) or 4 (two).
      num_blocks: a stage.
      dtype: of the convolutions; weights and pictures are float32.
    """

    factor: Literal[2, 4] = 2
    channels: Count = 128
    num_blocks: Count = 12
    dtype: FloatType = jnp.bfloat16

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, "b h2 w2 3"]:
        """Images in [0, 1] -> images in [0, 1] after clipping."""
        x = convolution(self.channels, self.dtype, "input")(images * 2 - 1)
        x = with_logical_constraint(x, ("batch", None, None, None))
        for stage in range(FACTORS.index(self.factor) + 1):
            for block in range(self.num_blocks):
                x = Block(self.channels, self.dtype, name=f"stage_{stage}_block_{block}")(x)
            x = convolution(4 * self.channels, self.dtype, f"stage_{stage}_enlarge")(x)
            x = rearrange(x, "b h w (p q c) -> b (h p) (w q) c", p=2, q=2)
        detail: jax.Array = convolution(3, jnp.float32, "output", 0.0)(x)
        return enlarge(images, self.factor) + detail
