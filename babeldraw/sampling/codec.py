"""Pictures to tokens and back with a trained tokenizer, in batches of one fixed size."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Int, Int32, UInt8

from babeldraw.errors import UserError
from babeldraw.models.token_identity import token_identity
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.parallel.rules import batch_shards
from babeldraw.sampling import places
from babeldraw.sampling.batches import FixedBatches
from babeldraw.sizes import height_and_width, in_words


@dataclasses.dataclass(frozen=True)
class Codec(FixedBatches):
    """A trained tokenizer.

    The size of a batch changes no picture that is decoded, and a token only where two codes are as
    near as sums of the model's dtype can tell.
    """

    model: ViTVQGAN

    def encode(
        self, images: UInt8[np.ndarray, "n height width 3"]
    ) -> Int32[np.ndarray, "n tokens"]:
        """Tokens of pictures, in raster order.

        Raises:
          UserError: the pictures are not of the tokenizer's size.
        """
        if images.shape[1:3] != height_and_width(self.model.image_size):
            raise UserError(
                f"The pictures are {in_words(images.shape[1:3])}, and this tokenizer reads "
                f"{in_words(self.model.image_size)}; crop and resize them."
            )
        return self.in_batches(functools.partial(_encode, self.model), images)

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
        return self.in_batches(functools.partial(_decode, self.model), tokens)

    def reconstruct(
        self, images: UInt8[np.ndarray, "n height width 3"]
    ) -> UInt8[np.ndarray, "n height width 3"]:
        """What is left of pictures after a trip through their tokens."""
        return self.decode(self.encode(images))

    @functools.cached_property
    def identity(self) -> str:
        """As `token_identity`."""
        return token_identity(places.fetch(self._on_mesh))


# Of a tokenizer, not of its weights: those that differ in these alone share their programs.


@functools.partial(jax.jit, static_argnums=0)
def _encode(
    model: ViTVQGAN, params: Any, images: UInt8[Array, "batch height width 3"]
) -> Int[Array, "batch n"]:
    pictures = images.astype(jnp.float32) / 255
    tokens: jax.Array = model.apply({"params": params}, pictures, method="encode")
    return tokens


@functools.partial(jax.jit, static_argnums=0)
def _decode(
    model: ViTVQGAN, params: Any, tokens: Int[Array, "batch n"]
) -> UInt8[Array, "batch height width 3"]:
    return decode_pictures(model, params, tokens)


def decode_pictures(
    model: ViTVQGAN, params: Any, tokens: Int[Array, "batch n"]
) -> UInt8[Array, "batch height width 3"]:
    """Pictures of tokens, each the same bits whatever it is batched with. Traceable.

    A product adds up in an order that depends on its shape, so the decoder always sees one picture,
    or one a shard of the batch where the batch is split over devices. On another kind of processor,
    or with weights split over devices, a value may be a level off.
    """
    shards = batch_shards()

    def decode(tokens: Int[Array, "shards n"]) -> UInt8[Array, "shards height width 3"]:
        pictures = model.apply({"params": params}, tokens, method="decode")
        return jnp.round(pictures * 255).astype(jnp.uint8)

    one_a_shard = rearrange(tokens, "(shard picture) n -> picture shard n", shard=shards)
    pictures: jax.Array = jax.lax.map(decode, one_a_shard)
    return rearrange(pictures, "picture shard h w c -> (shard picture) h w c")
