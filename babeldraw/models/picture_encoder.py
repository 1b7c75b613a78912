"""Networks that turn a picture into one vector of length 1, to be compared with a text's.

`PictureEncoder` is the picture half of CoCa (arXiv 2205.01917), which stands on it; of
`TokenPictureEncoder` the pictures are tokens of a frozen tokenizer.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from babeldraw.errors import UserError
from babeldraw.models import patches
from babeldraw.models.layers import (
    Attention,
    Embedding,
    GridPositions,
    Keys,
    Linear,
    layer_norm,
)
from babeldraw.models.transformer import Stack, TransformerLayer
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import with_logical_constraint
from babeldraw.ranges import Count, FloatType, ShareBelowOne
from babeldraw.sizes import Size

TEMPERATURE = 0.07
"""Of the contrastive softmax at the start of training (CLIP, arXiv 2103.00020)."""

MAX_SCALE = 100.0
"""The learned scale of the similarities, 1 / temperature, goes no higher (CLIP)."""

# The parameter is to be named `scale`, as those of layer norms are: no weight decay.
init_scale = nn.with_logical_partitioning(nn.initializers.constant(-math.log(TEMPERATURE)), ())
"""Initialises what `similarity_scale` reads, an array of no axes."""


def similarity_scale(scale: Float[Array, ""]) -> Float[Array, ""]:
    """What similarities are multiplied by in the contrastive softmax."""
    return jnp.minimum(jnp.exp(jnp.asarray(scale)), MAX_SCALE)


class AttentionalPooler(nn.Module):
    """Learned queries that each gather what they look for, however long `x` is."""

    num_queries: int
    num_heads: int
    d_model: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch length d_model"]) -> Float[Array, "batch q d_model"]:
        queries = Embedding(self.num_queries, self.d_model, "position", name="queries")
        asked = queries(jnp.arange(self.num_queries)).astype(self.dtype)
        head_dim = self.d_model // self.num_heads
        attention = Attention(
            self.num_heads, head_dim, self.d_model, dtype=self.dtype, name="attention"
        )
        asked = jnp.broadcast_to(asked, (x.shape[0], *asked.shape))
        pooled: jax.Array = layer_norm("norm")(attention(asked, *attention.keys_values(x)))
        return pooled.astype(self.dtype)


class PictureReader(nn.Module, kw_only=True):  # type: ignore[call-arg]  # Flax knows it.
    """What picture encoders share: a stack over the parts of a picture.

    Attributes:
      execution: how the stack runs: the same numbers to the rounding of float sums.
    """

    d_model: Count
    num_heads: Count
    mlp_dim: Count
    image_layers: Count
    dropout_rate: ShareBelowOne = 0.0
    dtype: FloatType = jnp.bfloat16
    execution: Execution = Execution()

    def setup(self) -> None:
        if self.d_model % self.num_heads:
            raise UserError(
                f"{type(self).__name__}.d_model {self.d_model} is not a multiple of num_heads "
                f"{self.num_heads}; change one of them."
            )
        self.image_encoder = Stack(self._layer(False), self.image_layers, self.execution)
        self.image_norm = layer_norm()
        self.embedding_pooler = self._pooler(1)
        self.image_projection = self._projection()

    def _layer(self, cross_attention: bool) -> TransformerLayer:
        return TransformerLayer(
            d_model=self.d_model,
            num_heads=self.num_heads,
            head_dim=self.d_model // self.num_heads,
            mlp_dim=self.mlp_dim,
            activation=nn.gelu,
            with_cross_attention=cross_attention,
            dropout_rate=self.dropout_rate,
            dtype=self.dtype,
            parent=None,
        )

    def _pooler(self, num_queries: int) -> AttentionalPooler:
        return AttentionalPooler(num_queries, self.num_heads, self.d_model, self.dtype)

    def _projection(self) -> Linear:
        return Linear((self.d_model,), ("embed",), (None,), dtype=jnp.float32)

    @nn.nowrap  # Without a name of its own in profiles and plans.
    def _look(self, x: Float[Array, "batch n d_model"], keys: Keys) -> jax.Array:
        """The stack's vectors of all parts."""
        x = self.image_encoder(residual(x, self.dtype), {"keys": keys})
        seen: jax.Array = self.image_norm(x).astype(self.dtype)
        return seen


class PictureEncoder(PictureReader, kw_only=True):  # type: ignore[call-arg]  # Flax knows it.
    """A Vision Transformer over patches.

    The pooler of the embedding stands on that of the captions (CoCa's cascade).

    Attributes:
      image_size: side, or height and width.
      num_queries: of the pooler whose results captions attend to (256 in CoCa's paper).
    """

    image_size: Size
    patch_size: Count
    num_queries: Count

    def setup(self) -> None:
        PictureReader.setup(self)
        self.patches = Linear((self.d_model,), ("patch",), ("embed",), True, self.dtype)
        rows, columns = patches.grid(self.image_size, self.patch_size)
        self.image_positions = Embedding(rows * columns, self.d_model, "position")
        self.caption_pooler = self._pooler(self.num_queries)

    def encode_image(
        self, images: Float[Array, "batch height width 3"], keys: Keys = None
    ) -> tuple[Float[Array, "batch d_model"], Float[Array, "batch q d_model"]]:
        """The embedding, of length 1, and what the captions attend to.

        Args:
          images: in [0, 1].
        """
        cut = patches.cut(images * 2 - 1, self.patch_size)
        x = self.patches(cut) + self.image_positions(jnp.arange(cut.shape[1]))
        seen = self.caption_pooler(self._look(x, keys))
        pooled = self.embedding_pooler(seen)[:, 0]
        return unit(self.image_projection(pooled)), seen


class TokenPictureEncoder(PictureReader, kw_only=True):  # type: ignore[call-arg]  # Flax knows it.
    """A Transformer over image tokens, which see each other in both directions.

    Attributes:
      codebook_size, rows, columns: the tokenizer's.
    """

    codebook_size: Count
    rows: Count
    columns: Count

    def setup(self) -> None:
        PictureReader.setup(self)
        self.image_embedding = Embedding(self.codebook_size, self.d_model, "rows")
        self.image_positions = GridPositions(self.rows, self.columns, self.d_model)

    def encode_image(
        self, image_tokens: Int[Array, "batch n"], keys: Keys = None
    ) -> tuple[Float[Array, "batch d_model"], Float[Array, "batch n d_model"]]:
        """The embedding, of length 1, and the stack's vectors."""
        places = jnp.arange(self.rows * self.columns)
        seen = self._look(self.image_embedding(image_tokens) + self.image_positions(places), keys)
        return unit(self.image_projection(self.embedding_pooler(seen)[:, 0])), seen


def residual(x: Float[Array, "batch length d_model"], dtype: DTypeLike) -> jax.Array:
    """What a stack adds to, placed."""
    return with_logical_constraint(x.astype(dtype), ("batch", "length", "activation_embed"))


def unit(x: Float[Array, "batch d_model"]) -> Float[Array, "batch d_model"]:
    """Of length 1."""
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)
