"""The encoder-decoder Transformer that predicts image tokens from text (stage 2).

Text tokens go through a bidirectional encoder; the decoder predicts the `rows x columns` image
tokens in raster order under a (conv-shaped) causal mask, with full cross-attention in every layer.
"""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from babeldraw.models import attention_paths
from babeldraw.models.layers import Embedding, GridPositions, Keys, Linear, fold_keys, layer_norm
from babeldraw.models.masks import GridMask
from babeldraw.models.transformer import Stack, TransformerLayer
from babeldraw.parallel.execution import AttentionPath, Execution
from babeldraw.parallel.rules import with_logical_constraint
from babeldraw.ranges import Count, FloatType, ShareBelowOne

DecoderInputs = Literal["raster", "row_start", "row_start_above"]


class EncoderDecoder(nn.Module):
    """Text tokens -> logits over the codebook for every image position.

    Attributes:
      rows, columns: the grid of image tokens (32 x 32 in the patent).
      attention_kernel: width of the conv-shaped mask of every decoder layer; None: full causal.
      attention_wrap: whether that window runs on over the edges (see `masks.conv_mask`).
      decoder_inputs: what the decoder reads at position (r, c):
        `raster`: the raster-previous token (a start vector at the first position);
        `row_start`: the token to the left, at column 0 a learned vector of the row;
        `row_start_above`: `row_start` plus an embedding (own table) of the token above.
        The last two never read across the right edge, as exact wavefront sampling needs.
      execution: how the stacks run, and the path of attention: the same numbers to about 1e-6 in
        float32.
    """

    text_vocab_size: Count
    codebook_size: Count
    text_length: Count
    rows: Count
    columns: Count
    d_model: Count
    num_heads: Count
    mlp_dim: Count
    encoder_layers: Count
    decoder_layers: Count
    head_dim: Count = 64
    dropout_rate: ShareBelowOne = 0.1
    attention_kernel: Count | None = 11
    attention_wrap: bool = False
    decoder_inputs: DecoderInputs = "raster"
    dtype: FloatType = jnp.bfloat16
    execution: Execution = Execution()

    def setup(self) -> None:
        self.text_embedding = Embedding(self.text_vocab_size, self.d_model, "rows")
        self.text_positions = Embedding(self.text_length, self.d_model, "position")
        self.encoder = Stack(self._layer(False), self.encoder_layers, self.execution)
        self.encoder_norm = layer_norm()

        self.image_embedding = Embedding(self.codebook_size, self.d_model, "rows")
        self.image_positions = GridPositions(self.rows, self.columns, self.d_model)
        # One start vector, or one a row.
        starts = 1 if self.decoder_inputs == "raster" else self.rows
        self.start_embedding = Embedding(starts, self.d_model, "rows")
        if self.decoder_inputs == "row_start_above":
            self.above_embedding = Embedding(self.codebook_size, self.d_model, "rows")
        self.decoder = Stack(self.decoder_layer(), self.decoder_layers, self.execution)
        self.decoder_norm = layer_norm()
        self.logits = Linear((self.codebook_size,), ("embed",), ("vocab",), dtype=jnp.float32)

    def _layer(self, cross_attention: bool) -> TransformerLayer:
        return TransformerLayer(
            d_model=self.d_model,
            num_heads=self.num_heads,
            head_dim=self.head_dim,
            mlp_dim=self.mlp_dim,
            with_cross_attention=cross_attention,
            dropout_rate=self.dropout_rate,
            dtype=self.dtype,
            parent=None,
        )

    def decoder_layer(self) -> TransformerLayer:
        """One unbound decoder layer, to apply to one layer's slice of the stacked weights."""
        return self._layer(cross_attention=True)

    @property
    def num_tokens(self) -> int:
        """Image tokens a picture."""
        return self.rows * self.columns

    def decoder_mask(self) -> Bool[jax.Array, "n n"]:
        """`mask[query, key]` of every decoder layer."""
        return jnp.asarray(self._grid_mask.dense)

    @property
    def _grid_mask(self) -> GridMask:
        return GridMask(self.rows, self.columns, self.attention_kernel, self.attention_wrap)

    @property
    def _attention_path(self) -> AttentionPath:
        # What initialises weights has a batch of one, and needs no attention.
        return "dense" if self.is_initializing() else self.execution.attention

    def __call__(
        self,
        text_tokens: Int[Array, "batch text"],
        image_tokens: Int[Array, "batch n"],
        dropout_keys: Keys = None,
    ) -> Float[Array, "batch n codebook"]:
        """Teacher-forced logits in float32. `dropout_keys`: one key an example, or None."""
        encoded, text_mask = self.encode(text_tokens, fold_keys(dropout_keys, 0))
        x = self.decoder_input(image_tokens, jnp.arange(self.num_tokens))
        path, heads = self._attention_path, self.num_heads
        x = self.decoder(
            x,
            {
                "encoded": encoded,
                "encoded_mask": attention_paths.over_text(path, text_mask, heads, self.num_tokens),
                "keys": fold_keys(dropout_keys, 1),
            },
            attention_paths.over_grid(path, self._grid_mask, x.shape[0], heads),
        )
        return self.decoder_logits(x)

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

    def decoder_input(
        self, image_tokens: Int[Array, "batch n"], positions: Int[Array, "new"]
    ) -> Float[Array, "batch new d_model"]:
        """What the decoder reads at raster `positions`, given the tokens before them.

        Tokens at and after a position are never read, so they may hold anything.
        """
        row, column = positions // self.columns, positions % self.columns
        previous = self.image_embedding(image_tokens[:, jnp.maximum(positions - 1, 0)])
        at_start = positions == 0 if self.decoder_inputs == "raster" else column == 0
        start = self.start_embedding(
            jnp.zeros_like(row) if self.decoder_inputs == "raster" else row
        )
        x = jnp.where(at_start[:, None], start, previous)
        if self.decoder_inputs == "row_start_above":
            above = self.above_embedding(image_tokens[:, jnp.maximum(positions - self.columns, 0)])
            x = x + jnp.where(row[:, None] > 0, above, 0)
        x = x + self.image_positions(positions)
        return with_logical_constraint(
            x.astype(self.dtype), ("batch", "length", "activation_embed")
        )

    def decoder_logits(
        self, x: Float[Array, "batch new d_model"]
    ) -> Float[Array, "batch new codebook"]:
        """Final layer norm and softmax weights, in float32."""
        logits = self.logits(self.decoder_norm(x))
        return with_logical_constraint(logits, ("batch", "length", "activation_vocab"))


def example_keys(key: Key[Array, ""], batch_size: int) -> Key[Array, "batch"]:
    """One key an example, by its place in the global batch: the same on every mesh."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch_size))
