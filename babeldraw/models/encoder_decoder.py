"""The encoder-decoder Transformer that predicts image tokens from text (stage 2).

Text tokens go through a bidirectional encoder; the decoder predicts the `rows x columns` image
tokens in raster order under a (conv-shaped) causal mask, with full cross-attention in every layer.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from babeldraw.models import attention_paths
from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.models.layers import Embedding, Keys, fold_keys, layer_norm
from babeldraw.models.transformer import Stack, TransformerLayer
from babeldraw.parallel.rules import with_logical_constraint
from babeldraw.ranges import Count


class EncoderDecoder(ImageDecoder, kw_only=True):  # type: ignore[call-arg]  # Flax knows it.
    """Text tokens -> logits over the codebook for every image position.

    Its attributes are those of `ImageDecoder`, and the text encoder's.
    """

    text_vocab_size: Count
    text_length: Count
    encoder_layers: Count
    attention_kernel: Count | None = 11
    num_classes: Literal[0] = 0

    def setup(self) -> None:
        self.text_embedding = Embedding(self.text_vocab_size, self.d_model, "rows")
        self.text_positions = Embedding(self.text_length, self.d_model, "position")
        self.encoder = Stack(self._layer(False), self.encoder_layers, self.execution)
        self.encoder_norm = layer_norm()
        super().setup()

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

    def encode(
        self, text_tokens: Int[Array, "batch text"], keys: Keys = None
    ) -> tuple[Float[Array, "batch text d_model"], Bool[Array, "batch 1 1 text"]]:
        """The encoded text and which of its positions may be attended to.

        Padding (token 0) is masked, except that the first position always stays: a prompt of
        padding only is the unconditional prompt of guidance, and needs something to attend to.
        """
        length = jnp.arange(text_tokens.shape[1])
        mask = ((text_tokens != 0) | (length == 0))[:, None, None, :]
        x = self.text_embedding(text_tokens) + self.text_positions(length)
        x = with_logical_constraint(x.astype(self.dtype), ("batch", "length", "activation_embed"))
        path, num_queries = self._attention_path, text_tokens.shape[1]
        to_text = attention_paths.over_text(path, mask, self.num_heads, num_queries)
        x = self.encoder(x, {"mask": to_text, "keys": keys})
        return self.encoder_norm(x).astype(self.dtype), mask


def example_keys(key: Key[Array, ""], examples: int | Int[Array, "batch"]) -> Key[Array, "batch"]:
    """One key an example, by its place in the global batch: the same on every mesh.

    Args:
      examples: how many, or their places.
    """
    return jax.vmap(jax.random.fold_in, (None, 0))(
        key, jnp.arange(examples) if isinstance(examples, int) else examples
    )
