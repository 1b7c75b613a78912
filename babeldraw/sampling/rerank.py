"""How well pictures fit their prompts, as a trained CoCa sees it; and what it calls pictures."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from babeldraw.errors import UserError
from babeldraw.models.coca import CoCa
from babeldraw.sampling.batches import FixedBatches
from babeldraw.sizes import Size, height_and_width, in_words

Images = UInt8[np.ndarray, "n height width 3"]


@dataclasses.dataclass(frozen=True)
class Reranker(FixedBatches):
    """A trained CoCa.

    Attributes:
      eos_id: the text token that ends a caption (see `data.vocabulary`).
    """

    model: CoCa
    eos_id: int = 1

    def __call__(
        self,
        text_tokens: Int[np.ndarray, "prompts text"],
        images: UInt8[np.ndarray, "prompts samples height width 3"],
    ) -> Float[np.ndarray, "prompts samples"]:
        """Cosine of each picture's embedding and its prompt's: from -1 to 1, higher fits better."""
        of_images = self.embed_images(images.reshape(-1, *images.shape[2:]))
        of_texts = self.embed_texts(text_tokens)
        of_images = of_images.reshape(*images.shape[:2], -1)
        cosine: np.ndarray = np.einsum("psd,pd->ps", of_images, of_texts)
        return cosine

    def embed_images(self, images: Images) -> Float[np.ndarray, "n d_model"]:
        """Embeddings of length 1.

        Raises:
          UserError: the pictures are not of the size that the model was trained on.
        """
        self.check_size(images.shape[1:3])
        return self.in_batches(self._images, images)

    def embed_texts(self, text_tokens: Int[np.ndarray, "n text"]) -> Float[np.ndarray, "n d_model"]:
        """Embeddings of length 1."""
        return self.in_batches(self._texts, text_tokens)

    def caption(self, images: Images) -> Int[np.ndarray, "n text"]:
        """The most probable next token, one after another: text tokens, then padding (0).

        Raises:
          UserError: see `embed_images`.
        """
        self.check_size(images.shape[1:3])
        return self.in_batches(self._captions, images)

    def check_size(self, size: Size) -> None:
        """Raises a `UserError` if pictures of this size are not what the model was trained on."""
        if height_and_width(size) != height_and_width(self.model.image_size):
            raise UserError(
                f"The pictures are {in_words(size)} and this CoCa was trained on those of "
                f"{in_words(self.model.image_size)}; use one that was trained on theirs."
            )

    @functools.cached_property
    def _images(self) -> Callable[..., jax.Array]:
        @jax.jit
        def embed(params: Any, images: jax.Array) -> jax.Array:
            pictures = images.astype(jnp.float32) / 255
            results = self.model.apply({"params": params}, pictures, method="encode_image")
            unit: jax.Array = results[0]
            return unit

        return embed

    @functools.cached_property
    def _texts(self) -> Callable[..., jax.Array]:
        @jax.jit
        def embed(params: Any, text_tokens: jax.Array) -> jax.Array:
            results = self.model.apply({"params": params}, text_tokens, method="encode_text")
            unit: jax.Array = results[0]
            return unit

        return embed

    @functools.cached_property
    def _captions(self) -> Callable[..., jax.Array]:
        model = self.model

        @jax.jit
        def caption(params: Any, images: jax.Array) -> jax.Array:
            variables = {"params": params}
            pictures = images.astype(jnp.float32) / 255
            _, seen = model.apply(variables, pictures, method="encode_image")

            def step(index: jax.Array, text: Int[Array, "n text"]) -> Int[Array, "n text"]:
                # The whole text again at each token: captions are short, and this needs no cache.
                _, read = model.apply(variables, text, method="encode_text")
                logits = model.apply(variables, read, seen, method="caption_logits")[:, index]
                best = jnp.argmax(logits.at[:, 0].set(-jnp.inf), axis=-1).astype(text.dtype)
                ended = jnp.any(text == self.eos_id, axis=1)
                return text.at[:, index].set(jnp.where(ended, 0, best))

            none = jnp.zeros((images.shape[0], model.text_length), jnp.int32)
            tokens: jax.Array = jax.lax.fori_loop(0, model.text_length, step, none)
            return tokens

        return caption
