"""Pictures to tokens and back with a trained tokenizer, in batches of one fixed size."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, UInt8

from babeldraw.errors import UserError
from babeldraw.models.token_identity import token_identity
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.sampling.batches import in_batches


@dataclasses.dataclass(frozen=True)
class Codec:
    """A trained tokenizer.

    Attributes:
      params: trained parameters, unboxed.
      batch_size: pictures at a time; changes speed and memory, never a token. The last batch is
        filled up, so that one program serves all.
    """

    model: ViTVQGAN
    params: Any
    batch_size: int = 16

    def encode(
        self, images: UInt8[np.ndarray, "n height width 3"]
    ) -> Int32[np.ndarray, "n tokens"]:
        """Tokens of pictures, in raster order.

        Raises:
          UserError: the pictures are not of the tokenizer's size.
        """
        side = self.model.image_size
        if images.shape[1:3] != (side, side):
            height, width = images.shape[1:3]
            raise UserError(
                f"The pictures are {width} x {height} px, and this tokenizer reads {side} x "
                f"{side} px; crop and resize them."
            )
        return self._in_batches(self._encode, images)

    def decode(
        self, tokens: Int32[np.ndarray, "n tokens"]
    ) -> UInt8[np.ndarray, "n height width 3"]:
        """Pictures of tokens.

        Raises:
          UserError: they are not as many a picture as this tokenizer has, or not in its codebook.
        """
        model = self.model
        if tokens.shape[1] != model.num_tokens:
            raise UserError(
                f"There are {tokens.shape[1]} tokens a picture, and this tokenizer has "
                f"{model.num_tokens}; give tokens of this tokenizer."
            )
        # Looking up a code that is not there gives NaN, not an error.
        if tokens.size and not 0 <= tokens.min() <= tokens.max() < model.codebook_size:
            raise UserError(
                f"The tokens reach from {tokens.min()} to {tokens.max()}, and this tokenizer has "
                f"those from 0 to {model.codebook_size - 1}; give tokens of this tokenizer."
            )
        return self._in_batches(self._decode, tokens)

    def reconstruct(
        self, images: UInt8[np.ndarray, "n height width 3"]
    ) -> UInt8[np.ndarray, "n height width 3"]:
        """What is left of pictures after a trip through their tokens."""
        return self.decode(self.encode(images))

    @functools.cached_property
    def identity(self) -> str:
        """As `token_identity`."""
        return token_identity(self.params)

    def _in_batches(self, program: Callable[..., jax.Array], rows: np.ndarray) -> np.ndarray:
        return in_batches(program, self._on_device, rows, self.batch_size)

    @functools.cached_property
    def _on_device(self) -> Any:
        return jax.device_put(self.params)

    @functools.cached_property
    def _encode(self) -> Callable[..., jax.Array]:
        @jax.jit
        def encode(params: Any, images: jax.Array) -> jax.Array:
            pictures = images.astype(jnp.float32) / 255
            return self.model.apply({"params": params}, pictures, method="encode")

        return encode

    @functools.cached_property
    def _decode(self) -> Callable[..., jax.Array]:
        @jax.jit
        def decode(params: Any, tokens: jax.Array) -> jax.Array:
            pictures = self.model.apply({"params": params}, tokens, method="decode")
            return jnp.round(pictures * 255).astype(jnp.uint8)

        return decode
