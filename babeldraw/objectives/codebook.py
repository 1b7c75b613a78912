"""The codebook's health: how much of it is used, and bringing unused codes back."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key


def code_share(tokens: Int[Array, "batch n"], codebook_size: int) -> Float[Array, " codes"]:
    """What share of `tokens` each code has."""
    return jnp.bincount(tokens.ravel(), length=codebook_size) / tokens.size


def usage_and_perplexity(share: Float[np.ndarray, " codes"]) -> tuple[float, float]:
    """Share of codes that occur at all, and the perplexity (exp entropy) of their use."""
    used = share[share > 0]
    return len(used) / len(share), float(np.exp(-np.sum(used * np.log(used))))


def revive(
    codebook: Float[Array, "codes code_dim"],
    share: Float[Array, " codes"],
    z: Float[Array, "vectors code_dim"],
    threshold: float,
    key: Key[Array, ""],
) -> tuple[Float[Array, "codes code_dim"], Float[Array, " codes"]]:
    """Puts every code whose share is below `threshold / codes` on a vector of `z`.

    Vectors are drawn in proportion to the squared distance to their nearest code, as k-means++
    does (Arthur and Vassilvitskii, 2007): drawn evenly, codes gather where there are many vectors,
    and 27% of the shipped emoji's 4 x 4 patches are plain white. A code keeps its length
    (directions alone are compared) and starts again with an equal share.

    Args:
      share: moving average of each code's share of the tokens.
      z: encoder vectors, on the unit sphere.

    Returns:
      The new codebook and shares.
    """
    dead = share < threshold / len(share)
    length = jnp.linalg.norm(codebook, axis=-1, keepdims=True)
    # |z - e|^2 = 2 - 2 z.e between directions.
    distance = jnp.maximum(2 - 2 * jnp.max(z @ (codebook / length).T, axis=-1), 1e-12)
    drawn = jax.random.choice(key, z, share.shape, p=distance / jnp.sum(distance))
    return (
        jnp.where(dead[:, None], drawn * length, codebook),
        jnp.where(dead, 1 / len(share), share),
    )
