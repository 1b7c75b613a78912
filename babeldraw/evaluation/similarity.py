"""Structural similarity of pictures."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from babeldraw.errors import UserError

WINDOW, SIGMA = 11, 1.5


def ssim(
    a: Float[Array, "batch height width channels"], b: Float[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """SSIM of each pair (Wang, Bovik, Sheikh, Simoncelli 2004, eq. 13), in [-1, 1]; 1: equal.

    Gaussian window of 11x11 with sigma 1.5, at the places where it lies wholly inside the picture;
    K1 = 0.01, K2 = 0.03. Each channel is taken by itself, then the mean over places and channels.

    Args:
      a: in [0, 1].
      b: in [0, 1].

    Raises:
      UserError: the pictures are smaller than the window.
    """
    if min(a.shape[1:3]) < WINDOW:
        raise UserError(
            f"SSIM needs pictures of at least {WINDOW} px, but these have {min(a.shape[1:3])} px: "
            "leave it out for such a model."
        )
    a, b = a.astype(jnp.float32), b.astype(jnp.float32)
    mean_a, mean_b = _blur(a), _blur(b)
    variances = _blur(a * a) - mean_a**2 + _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return jnp.mean(luminance * structure, axis=(1, 2, 3))


def _blur(x: jax.Array) -> jax.Array:
    """The Gaussian window along both axes, as a sum of shifted slices: float32 on every backend."""
    offsets = jnp.arange(WINDOW) - WINDOW // 2
    weights = jnp.exp(-(offsets**2) / (2 * SIGMA**2))
    weights = weights / weights.sum()
    for axis in (1, 2):
        side = x.shape[axis] - WINDOW + 1
        shifted = (jax.lax.slice_in_dim(x, i, i + side, axis=axis) for i in range(WINDOW))
        x = functools.reduce(jnp.add, (weights[i] * part for i, part in enumerate(shifted)))
    return x
