"""The text encoder of stage 2: alone for pretraining, and inside `EncoderDecoder`.

Both have the same parameters under the same names (`PARAMETERS`), so that `INIT_FROM` takes what
one has learned into the other.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from babeldraw.models import attention_paths
from babeldraw.models.layers import Embedding, Keys, layer_norm
from babeldraw.models.transformer import Stack, TransformerLayer
from babeldraw.parallel.execution import AttentionPath, Execution
from babeldraw.parallel.rules import with_logical_constraint
from babeldraw.ranges import Count, FloatType, ShareBelowOne

PARAMETERS = ("text_embedding", "text_positions", "encoder", "encoder_norm")
"""The text encoder's, at the top of either network."""


class TextEncoder(nn.Module, kw_only=True):  # type: ignore[call-arg]  # Flax knows it.
    """Text tokens -> a vector each, every one of which has read the whole text.

    Attributes:
      text_length: positions that there are.
      execution: how the stack runs, and the path of attention.
      qk_norm: see `layers.Attention`.
    """

    text_vocab_size: Count
    text_length: Count
    encoder_layers: Count
    d_model: Count
    num_heads: Count
    mlp_dim: Count
    head_dim: Count = 64
    dropout_rate: ShareBelowOne = 0.1
    dtype: FloatType = jnp.bfloat16
    execution: Execution = Execution()
    qk_norm: bool = False

    def setup(self) -> None:
        self.text_embedding = Embedding(self.text_vocab_size, self.d_model, "rows")
        self.text_positions = Embedding(self.text_length, self.d_model, "position")
        self.encoder = Stack(self._layer(False), self.encoder_layers, self.execution)
        self.encoder_norm = layer_norm()

    def _layer(self, cross_attention: bool) -> TransformerLayer:
        return TransformerLayer(
            d_model=self.d_model,
            num_heads=self.num_heads,
            head_dim=self.head_dim,
            mlp_dim=self.mlp_dim,
            with_cross_attention=cross_attention,
            dropout_rate=self.dropout_rate,
            dtype=self.dtype,
            qk_norm=self.qk_norm,
            parent=None,
        )

    @property
    def _attention_path(self) -> AttentionPath:
        # What initialises weights has a batch of one, and needs no attention.
        return "dense" if self.is_initializing() else self.execution.attention

    def encode(
        self, text_tokens: Int[Array, "batch text"], keys: Keys = None
    ) -> tuple[Float[Array, "batch text d_model"], Bool[Array, "batch 1 1 text"]]:
        """The encoded text and which of its positions may be attended to.

        Padding (token 0) is masked, except that the first position always stays: a prompt of
        padding only is the unconditional prompt of guidance, and needs something to attend to.
        """
        mask = readable(text_tokens)
        encoded = self._read(self.text_embedding(text_tokens), mask, keys)
        return encoded.astype(self.dtype), mask

    @nn.nowrap  # Without a name of its own in profiles and plans, which know the stack `encoder`.
    def _read(
        self,
        embedded: Float[Array, "batch text d_model"],
        mask: Bool[Array, "batch 1 1 text"],
        keys: Keys = None,
    ) -> Float[Array, "batch text d_model"]:
        """The encoded text in float32, from the tokens' rows of `text_embedding`."""
        num_queries = embedded.shape[1]
        x = embedded + self.text_positions(jnp.arange(num_queries))
        x = with_logical_constraint(x.astype(self.dtype), ("batch", "length", "activation_embed"))
        path = self._attention_path
        to_text = attention_paths.over_text(path, mask, self.num_heads, num_queries)
        encoded: jax.Array = self.encoder_norm(self.encoder(x, {"mask": to_text, "keys": keys}))
        return encoded


def readable(text_tokens: Int[Array, "batch text"]) -> Bool[Array, "batch 1 1 text"]:
    """Which positions may be attended to: all but padding, and always the first."""
    first = jnp.arange(text_tokens.shape[1]) == 0
    return ((text_tokens != 0) | first)[:, None, None, :]
