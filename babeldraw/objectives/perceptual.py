"""The perceptual term: how far apart two pictures are to a frozen network."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from babeldraw.models.feature_networks import VGG16, Params, SqueezeNet
from babeldraw.ranges import Weight


@dataclasses.dataclass(frozen=True, kw_only=True)
class Perceptual:
    """LPIPS (arXiv 1801.03924) with every channel weighing the same, so no learned heads.

    Unsupervised runs leave it out: the network was trained with labels (patent, stage 1).
    """

    network: SqueezeNet | VGG16
    params: Callable[[], Params]
    """Reads the network's weights; a constant of the objective that holds this."""
    weight: Weight = 0.1
    """The paper's (arXiv 2110.04627)."""

    def distance(
        self,
        params: Params,
        a: Float[Array, "batch height width 3"],
        b: Float[Array, "batch height width 3"],
    ) -> Float[Array, ""]:
        """Mean over layers, batch and positions of the squared distance of unit feature vectors.

        Pictures in [0, 1]; computed in float32 whatever their dtype. Each layer lies in [0, 2],
        for features are not negative.
        """
        layers = zip(self.network(params, a), self.network(params, b), strict=True)
        return jnp.mean(jnp.stack([_squared_distance(x, y) for x, y in layers]))


def _squared_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.mean(jnp.sum(jnp.square(_unit(a) - _unit(b)), axis=-1))


def _unit(x: jax.Array) -> jax.Array:
    # Under the root, so that where all channels are 0 the gradient is, too.
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-10)
