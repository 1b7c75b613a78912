"""Reconstructed pictures, enlarged by a trained network, in batches of one fixed size."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from babeldraw.models.super_resolution import SuperResolver
from babeldraw.sampling.batches import FixedBatches


@dataclasses.dataclass(frozen=True)
class Upscaler(FixedBatches):
    """A trained super-resolution network. One program serves all pictures of a size."""

    model: SuperResolver
    batch_size: int = 4

    def __call__(
        self, images: UInt8[np.ndarray, "n height width 3"]
    ) -> UInt8[np.ndarray, "n enlarged_height enlarged_width 3"]:
        """Each picture with `model.factor` times the pixels a side. Any size goes in."""
        return self.in_batches(self._program, images)

    @functools.cached_property
    def _program(self) -> Callable[..., jax.Array]:
        @jax.jit
        def run(params: Any, images: jax.Array) -> jax.Array:
            enlarged = self.model.apply({"params": params}, images.astype(jnp.float32) / 255)
            return jnp.round(jnp.clip(enlarged, 0, 1) * 255).astype(jnp.uint8)

        return run
