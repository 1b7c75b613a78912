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
from babeldraw.sampling.batches import in_batches


@dataclasses.dataclass(frozen=True)
class Upscaler:
    """A trained super-resolution network.

    Attributes:
      params: trained parameters, unboxed.
      batch_size: pictures at a time; changes speed and memory, no more. The last batch is filled
        up, so that one program serves all pictures of a size.
    """

    model: SuperResolver
    params: Any
    batch_size: int = 4

    def __call__(
        self, images: UInt8[np.ndarray, "n height width 3"]
    ) -> UInt8[np.ndarray, "n enlarged_height enlarged_width 3"]:
        """Each picture with `model.factor` times the pixels a side. Any size goes in."""
        return in_batches(self._program, self._on_device, images, self.batch_size)

    @functools.cached_property
    def _on_device(self) -> Any:
        return jax.device_put(self.params)

    @functools.cached_property
    def _program(self) -> Callable[..., jax.Array]:
        @jax.jit
        def run(params: Any, images: jax.Array) -> jax.Array:
            enlarged = self.model.apply({"params": params}, images.astype(jnp.float32) / 255)
            return jnp.round(jnp.clip(enlarged, 0, 1) * 255).astype(jnp.uint8)

        return run
