"""From text tokens to pictures: sampling in fixed-size batches, then the tokenizer's decoder."""

import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt8

from babeldraw.models.encoder_decoder import EncoderDecoder
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.sampling.generate import generate_tokens


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A trained text-to-image model with its tokenizer, and how to draw from it.

    Attributes:
      params, tokenizer_params: trained parameters, unboxed.
      guidance_weight, temperature, cutoff: see `generate.generate_tokens`.
      batch_size: pictures drawn at a time; changes speed and memory, never a picture.
    """

    model: EncoderDecoder
    params: Any
    tokenizer: ViTVQGAN
    tokenizer_params: Any
    guidance_weight: float = 1.0
    temperature: float = 1.0
    cutoff: float = 0.0
    batch_size: int = 16

    def __call__(
        self,
        text_tokens: Int[np.ndarray, "prompts text"],
        *,
        num_samples: int = 1,
        seed: int = 0,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> UInt8[np.ndarray, "prompts samples height width 3"]:
        """Draws `num_samples` pictures of each prompt.

        A picture depends on its prompt, its number among the prompt's samples, and `seed`.

        Args:
          on_progress: called with (pictures done, pictures in all) after each batch.
        """
        prompts = len(text_tokens)
        text = np.repeat(np.asarray(text_tokens, np.int32), num_samples, axis=0)
        # The prompt's own content keys its noise, so that its place among others does not.
        prompt_ids = np.array([zlib.crc32(row.tobytes()) for row in text], np.uint32)
        numbers = np.tile(np.arange(num_samples, dtype=np.uint32), prompts)
        batch_size = min(self.batch_size, len(text))
        images = []
        for start in range(0, len(text), batch_size):
            # The last batch is filled up with its own first row, so that one program serves all.
            rows = np.arange(start, start + batch_size)
            rows = np.where(rows < len(text), rows, start)
            batch = self._draw(text[rows], prompt_ids[rows], numbers[rows], seed)
            images.append(np.asarray(batch)[: len(text) - start])
            if on_progress:
                on_progress(min(start + batch_size, len(text)), len(text))
        stacked = np.concatenate(images)
        return stacked.reshape(prompts, num_samples, *stacked.shape[1:])

    @functools.cached_property
    def _draw(self) -> Callable[..., jax.Array]:
        return functools.partial(self.program, self.params, self.tokenizer_params)

    @functools.cached_property
    def program(self) -> jax.stages.Wrapped:
        """The whole of it as one function to be compiled, for one batch of pictures.

        Its arguments: `params`, `tokenizer_params`, `text int32[batch, text]`, `prompt_ids
        uint32[batch]`, `numbers uint32[batch]` and the seed.
        """

        @jax.jit
        def draw(
            params: Any,
            tokenizer_params: Any,
            text: jax.Array,
            prompt_ids: jax.Array,
            numbers: jax.Array,
            seed: jax.Array,
        ) -> jax.Array:
            keys = jax.vmap(
                lambda prompt, number: jax.random.fold_in(
                    jax.random.fold_in(jax.random.key(seed), prompt), number
                )
            )(prompt_ids, numbers)
            tokens = generate_tokens(
                self.model,
                params,
                text,
                keys,
                guidance_weight=self.guidance_weight,
                temperature=self.temperature,
                cutoff=self.cutoff,
            )
            images = self.tokenizer.apply({"params": tokenizer_params}, tokens, method="decode")
            return jnp.round(images * 255).astype(jnp.uint8)

        return draw
