"""The decoder-only Transformer that predicts image tokens: of a class, or of nothing at all.

A vector-quantized image model (VIM): the patent's and arXiv 2110.04627's stage 2. The class is the
first thing that the decoder reads, in the place of its start vector. `EncoderDecoder` puts a text
encoder before the same decoder and cross-attention into its layers.
"""

from collections.abc import Mapping
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from babeldraw.errors import UserError
from babeldraw.models import attention_paths
from babeldraw.models.layers import Embedding, GridPositions, Keys, Linear, fold_keys, layer_norm
from babeldraw.models.masks import GridMask
from babeldraw.models.transformer import Stack, TransformerLayer
from babeldraw.parallel.execution import AttentionPath, Execution
from babeldraw.parallel.rules import with_logical_constraint
from babeldraw.ranges import Count, FloatType, ShareBelowOne, Whole

DecoderInputs = Literal["raster", "row_start", "row_start_above"]

NO_CLASS = -1
"""The number that stands for no class: the decoder reads its start vector."""


class ImageDecoder(nn.Module, kw_only=True):  # type: ignore[call-arg]  # Flax knows it.
    """Classes, or nothing -> logits over the codebook for every image position.

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
      num_classes: the classes that it can be given; 0: none. The first position, which reads the
        class, is then seen from everywhere, whatever the mask.
      qk_norm: see `layers.Attention`.
    """

    codebook_size: Count
    rows: Count
    columns: Count
    d_model: Count
    num_heads: Count
    mlp_dim: Count
    decoder_layers: Count
    head_dim: Count = 64
    dropout_rate: ShareBelowOne = 0.1
    attention_kernel: Count | None = None
    attention_wrap: bool = False
    decoder_inputs: DecoderInputs = "raster"
    dtype: FloatType = jnp.bfloat16
    execution: Execution = Execution()
    num_classes: Whole = 0
    qk_norm: bool = False

    def setup(self) -> None:
        self.image_embedding = Embedding(self.codebook_size, self.d_model, "rows")
        self.image_positions = GridPositions(self.rows, self.columns, self.d_model)
        # One start vector, or one a row.
        starts = 1 if self.decoder_inputs == "raster" else self.rows
        self.start_embedding = Embedding(starts, self.d_model, "rows")
        if self.decoder_inputs == "row_start_above":
            self.above_embedding = Embedding(self.codebook_size, self.d_model, "rows")
        if self.num_classes:
            self.class_embedding = Embedding(self.num_classes, self.d_model, "rows")
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
            qk_norm=self.qk_norm,
            parent=None,
        )

    def decoder_layer(self) -> TransformerLayer:
        """One unbound decoder layer, to apply to one layer's slice of the stacked weights."""
        return self._layer(cross_attention=False)

    @property
    def num_tokens(self) -> int:
        """Image tokens a picture."""
        return self.rows * self.columns

    @property
    def condition_shape(self) -> tuple[int, ...]:
        """Of one condition that pictures are drawn under, an int32 array: here a class's number."""
        return ()

    @property
    def no_condition(self) -> int:
        """What fills a condition that says nothing."""
        return NO_CLASS

    @property
    def grid_mask(self) -> GridMask:
        """The mask of every decoder layer."""
        return GridMask(
            self.rows,
            self.columns,
            self.attention_kernel,
            self.attention_wrap,
            opens_first=self.num_classes > 0,
        )

    def decoder_mask(self) -> Bool[jax.Array, "n n"]:
        """`mask[query, key]` of every decoder layer."""
        return jnp.asarray(self.grid_mask.dense)

    @property
    def _attention_path(self) -> AttentionPath:
        # What initialises weights has a batch of one, and needs no attention.
        return "dense" if self.is_initializing() else self.execution.attention

    def __call__(
        self,
        image_tokens: Int[Array, "batch n"],
        classes: Int[Array, "batch"] | None = None,
        dropout_keys: Keys = None,
    ) -> Float[Array, "batch n codebook"]:
        """Teacher-forced logits in float32.

        Args:
          classes: their numbers, `NO_CLASS` for an example without; None: all without.
          dropout_keys: one key an example, or None.

        Raises:
          UserError: classes for a model without any.
        """
        x = self.decoder_input(image_tokens, jnp.arange(self.num_tokens), classes)
        logits: jax.Array = self._teacher_forced(x, {}, fold_keys(dropout_keys, 1))
        return logits

    @nn.nowrap  # Without a name of its own in profiles and plans, which know the stack `decoder`.
    def _teacher_forced(
        self, x: Float[Array, "batch n d_model"], shared: Mapping[str, Any], keys: Keys
    ) -> Float[Array, "batch n codebook"]:
        """The layers, which are given `shared` too, and the logits."""
        path = self._attention_path
        mask = attention_paths.over_grid(path, self.grid_mask, x.shape[0], self.num_heads)
        return self.decoder_logits(self.decoder(x, {**shared, "keys": keys}, mask))

    def decoder_input(
        self,
        image_tokens: Int[Array, "batch n"],
        positions: Int[Array, "new"],
        classes: Int[Array, "batch"] | None = None,
    ) -> Float[Array, "batch new d_model"]:
        """What the decoder reads at raster `positions`, given the tokens before them.

        Tokens at and after a position are never read, so they may hold anything. `classes` as in
        `__call__`.
        """
        row, column = positions // self.columns, positions % self.columns
        previous = self.image_embedding(image_tokens[:, jnp.maximum(positions - 1, 0)])
        at_start = positions == 0 if self.decoder_inputs == "raster" else column == 0
        start = self.start_embedding(
            jnp.zeros_like(row) if self.decoder_inputs == "raster" else row
        )
        x = jnp.where(at_start[:, None], start, previous)
        if classes is None and self.num_classes and self.is_initializing():
            classes = jnp.full(image_tokens.shape[:1], NO_CLASS)  # So that there is a table.
        if classes is not None:
            x = self._with_classes(x, positions, classes)
        if self.decoder_inputs == "row_start_above":
            above = self.above_embedding(image_tokens[:, jnp.maximum(positions - self.columns, 0)])
            x = x + jnp.where(row[:, None] > 0, above, 0)
        x = x + self.image_positions(positions)
        return with_logical_constraint(
            x.astype(self.dtype), ("batch", "length", "activation_embed")
        )

    def _with_classes(self, x: jax.Array, positions: jax.Array, classes: jax.Array) -> jax.Array:
        if not self.num_classes:
            raise UserError(
                "This model was made without classes; leave them out, or train one with "
                "ImageDecoder.num_classes."
            )
        reads_class = (positions == 0) & (classes != NO_CLASS)[:, None]
        of_class = self.class_embedding(jnp.maximum(classes, 0))
        return jnp.where(reads_class[..., None], of_class[:, None], x)

    def decoder_logits(
        self, x: Float[Array, "batch new d_model"]
    ) -> Float[Array, "batch new codebook"]:
        """Final layer norm and softmax weights, in float32."""
        logits = self.logits(self.decoder_norm(x))
        return with_logical_constraint(logits, ("batch", "length", "activation_vocab"))
