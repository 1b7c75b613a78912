"""The encoder-decoder Transformer that predicts image tokens from text (stage 2).

Text tokens go through a bidirectional encoder; the decoder predicts the `rows x columns` image
tokens in raster order under a (conv-shaped) causal mask, with full cross-attention in every layer.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from babeldraw.models import attention_paths
from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.models.layers import Keys, fold_keys
from babeldraw.models.text_encoder import TextEncoder
from babeldraw.models.transformer import TransformerLayer
from babeldraw.ranges import Count


class EncoderDecoder(ImageDecoder, TextEncoder, kw_only=True):  # type: ignore[call-arg]  # Flax.
    """Text tokens -> logits over the codebook for every image position.

    Its attributes are those of `ImageDecoder` and of `TextEncoder`.
    """

    attention_kernel: Count | None = 11
    num_classes: Literal[0] = 0

    def setup(self) -> None:
        TextEncoder.setup(self)
        ImageDecoder.setup(self)

    def decoder_layer(self) -> TransformerLayer:
        """One unbound decoder layer, to apply to one layer's slice of the stacked weights."""
        return self._layer(cross_attention=True)

    @property
    def condition_shape(self) -> tuple[int, ...]:
        """Of one condition that pictures are drawn under, an int32 array: here a text."""
        return (self.text_length,)

    @property
    def no_condition(self) -> int:
        """What fills a condition that says nothing."""
        return 0

    def __call__(  # type: ignore[override]  # The condition of this decoder is a text.
        self,
        text_tokens: Int[Array, "batch text"],
        image_tokens: Int[Array, "batch n"],
        dropout_keys: Keys = None,
    ) -> Float[Array, "batch n codebook"]:
        """Teacher-forced logits in float32. `dropout_keys`: one key an example, or None."""
        encoded, text_mask = self.encode(text_tokens, fold_keys(dropout_keys, 0))
        x = self.decoder_input(image_tokens, jnp.arange(self.num_tokens))
        path, heads = self._attention_path, self.num_heads
        to_text = attention_paths.over_text(path, text_mask, heads, self.num_tokens)
        shared = {"encoded": encoded, "encoded_mask": to_text}
        logits: jax.Array = self._teacher_forced(x, shared, fold_keys(dropout_keys, 1))
        return logits


def example_keys(key: Key[Array, ""], examples: int | Int[Array, "batch"]) -> Key[Array, "batch"]:
    """One key an example, by its place in the global batch: the same on every mesh.

    Args:
      examples: how many, or their places.
    """
    return jax.vmap(jax.random.fold_in, (None, 0))(
        key, jnp.arange(examples) if isinstance(examples, int) else examples
    )
