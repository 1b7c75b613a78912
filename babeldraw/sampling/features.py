"""What the blocks of a trained network say of pictures."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from babeldraw.errors import UserError
from babeldraw.models.coca import CoCa
from babeldraw.models.encoder_decoder import EncoderDecoder
from babeldraw.models.transformer import FEATURES
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.sampling.batches import FixedBatches
from babeldraw.sizes import Size, height_and_width, in_words

Images = UInt8[np.ndarray, "n height width 3"]

Read = Callable[
    [Any, Any, Float[Array, "batch height width 3"]], Float[Array, "blocks batch features"]
]
"""`read(model, params, images in [0, 1])`: the output of every block, averaged over its tokens."""


@dataclasses.dataclass(frozen=True)
class BlockFeatures(FixedBatches):
    """A trained network whose blocks are looked at.

    Attributes:
      image_size: of the pictures that it reads.
      read: what it makes of a batch of them.
    """

    image_size: Size = dataclasses.field(kw_only=True)
    read: Read = dataclasses.field(kw_only=True)

    def __call__(self, images: Images) -> Float[np.ndarray, "n blocks features"]:
        """The output of every block, averaged over the tokens, in float32.

        Raises:
          UserError: the pictures are not of the network's size.
        """
        if images.shape[1:3] != height_and_width(self.image_size):
            raise UserError(
                f"The pictures are {in_words(images.shape[1:3])}, and this network reads "
                f"{in_words(self.image_size)}; give a task of that size."
            )
        return self.in_batches(self._program, images)

    @functools.cached_property
    def _program(self) -> Callable[..., jax.Array]:
        @jax.jit
        def program(params: Any, images: jax.Array) -> jax.Array:
            pictures = images.astype(jnp.float32) / 255
            return jnp.swapaxes(self.read(self.model, params, pictures), 0, 1)

        return program


def of_tokenizer(model: ViTVQGAN, params: Any, batch_size: int = 16) -> BlockFeatures:
    """Of every block of a tokenizer's encoder."""

    def read(model: ViTVQGAN, params: Any, images: jax.Array) -> jax.Array:
        return _blocks("encoder", model, params, images, method="encode_to_codes")

    return BlockFeatures(model, params, batch_size, image_size=model.image_size, read=read)


def of_captioner(model: CoCa, params: Any, batch_size: int = 16) -> BlockFeatures:
    """Of every block of CoCa's picture encoder."""

    def read(model: CoCa, params: Any, images: jax.Array) -> jax.Array:
        return _blocks("image_encoder", model, params, images, method="encode_image")

    return BlockFeatures(model, params, batch_size, image_size=model.image_size, read=read)


def of_decoder(
    model: Any, params: Any, tokenizer: ViTVQGAN, tokenizer_params: Any, batch_size: int = 16
) -> BlockFeatures:
    """Of every block of a decoder of image tokens that is told nothing of the picture.

    Args:
      model: an `ImageDecoder`, which is given no class, or an `EncoderDecoder`, which is given the
        empty prompt.
    """

    def read(model: Any, params: Any, images: jax.Array) -> jax.Array:
        networks = {"params": params["tokenizer"]}
        tokens = tokenizer.apply(networks, images, method="encode")
        arguments = [tokens]
        if isinstance(model, EncoderDecoder):
            arguments.insert(0, jnp.zeros((len(images), model.text_length), jnp.int32))
        return _blocks("decoder", model, params["decoder"], *arguments)

    both = {"decoder": params, "tokenizer": tokenizer_params}
    return BlockFeatures(model, both, batch_size, image_size=tokenizer.image_size, read=read)


def _blocks(stack: str, model: Any, params: Any, *arguments: Any, **settings: Any) -> jax.Array:
    """What the one stack in the module `stack` leaves of its blocks; see `FEATURES`."""
    _, left = model.apply({"params": params}, *arguments, mutable=[FEATURES], **settings)
    found: jax.Array
    [found] = jax.tree.leaves(left[FEATURES][stack])
    return found
