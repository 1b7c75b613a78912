"""CoCa, the contrastive captioner (arXiv 2205.01917): how well do a picture and a text fit?

A Vision Transformer reads the picture. The first half of the text decoder reads the text alone and
ends in one vector; the second half attends to the picture as well and predicts the text. Both are
trained at once, and share all but their last layers.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from babeldraw.errors import UserError
from babeldraw.models import patches
from babeldraw.models.layers import Attention, Embedding, Keys, Linear, fold_keys, layer_norm
from babeldraw.models.transformer import Stack, TransformerLayer
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import with_logical_constraint
from babeldraw.ranges import Count, FloatType, ShareBelowOne
from babeldraw.sizes import Size

TEMPERATURE = 0.07
"""Of the contrastive softmax at the start of training (CLIP, arXiv 2103.00020)."""

MAX_SCALE = 100.0
"""The learned scale of the similarities, 1 / temperature, goes no higher (CLIP)."""


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


class CoCa(nn.Module):
    """Pictures and texts -> their embeddings, and a caption of the picture.

    The pooler of the embedding stands on that of the captions (the paper's cascade).

    Attributes:
      image_size: side, or height and width.
      text_length: text tokens of a batch; the embedding reads all but the last, the end id of a
        full text.
      num_queries: of the pooler whose results the captions attend to (256 in the paper).
      execution: how the stacks run: the same numbers to the rounding of float sums.
    """

    image_size: Size
    patch_size: Count
    text_vocab_size: Count
    text_length: Count
    d_model: Count
    num_heads: Count
    mlp_dim: Count
    image_layers: Count
    text_layers: Count
    multimodal_layers: Count
    num_queries: Count
    dropout_rate: ShareBelowOne = 0.0
    dtype: FloatType = jnp.bfloat16
    execution: Execution = Execution()

    def setup(self) -> None:
        if self.d_model % self.num_heads:
            raise UserError(
                f"CoCa.d_model {self.d_model} is not a multiple of num_heads {self.num_heads}; "
                "change one of them."
            )
        d_model, execution = self.d_model, self.execution
        self.patches = Linear((d_model,), ("patch",), ("embed",), True, self.dtype)
        rows, columns = patches.grid(self.image_size, self.patch_size)
        self.image_positions = Embedding(rows * columns, d_model, "position")
        self.image_encoder = Stack(self._layer(False), self.image_layers, execution)
        self.image_norm = layer_norm()
        self.caption_pooler = self._pooler(self.num_queries)
        self.embedding_pooler = self._pooler(1)
        self.image_projection = self._projection()

        self.text_embedding = Embedding(self.text_vocab_size, d_model, "rows")
        # A start in place of the token before the first, and what gathers the text at the end.
        self.special_embedding = Embedding(2, d_model, "rows")
        self.text_positions = Embedding(self.text_length, d_model, "position")
        self.text_decoder = Stack(self._layer(False), self.text_layers, execution)
        self.text_norm = layer_norm()
        self.text_projection = self._projection()
        self.multimodal_decoder = Stack(self._layer(True), self.multimodal_layers, execution)
        self.multimodal_norm = layer_norm()
        self.logits = Linear((self.text_vocab_size,), ("embed",), ("vocab",), dtype=jnp.float32)
        # Named as the scales of layer norms are: no weight decay.
        self.scale = self.param(
            "scale",
            nn.with_logical_partitioning(nn.initializers.constant(-math.log(TEMPERATURE)), ()),
            (),
        )

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

    def __call__(
        self,
        images: Float[Array, "batch height width 3"],
        text_tokens: Int[Array, "batch text"],
        dropout_keys: Keys = None,
    ) -> tuple[
        Float[Array, "batch d_model"],
        Float[Array, "batch d_model"],
        Float[Array, "batch text vocab"],
    ]:
        """Embeddings of the pictures and of the texts, and teacher-forced logits of the texts.

        Args:
          images: in [0, 1].
          dropout_keys: one key an example, or None.
        """
        of_image, seen = self.encode_image(images, fold_keys(dropout_keys, 0))
        of_text, read = self.encode_text(text_tokens, fold_keys(dropout_keys, 1))
        return of_image, of_text, self.caption_logits(read, seen, fold_keys(dropout_keys, 2))

    def encode_image(
        self, images: Float[Array, "batch height width 3"], keys: Keys = None
    ) -> tuple[Float[Array, "batch d_model"], Float[Array, "batch q d_model"]]:
        """The embedding, of length 1, and what the captions attend to."""
        cut = patches.cut(images * 2 - 1, self.patch_size)
        x = self.patches(cut) + self.image_positions(jnp.arange(cut.shape[1]))
        x = self.image_encoder(_residual(x, self.dtype), {"keys": keys})
        seen = self.caption_pooler(self.image_norm(x).astype(self.dtype))
        pooled = self.embedding_pooler(seen)[:, 0]
        return _unit(self.image_projection(pooled)), seen

    def encode_text(
        self, text_tokens: Int[Array, "batch text"], keys: Keys = None
    ) -> tuple[Float[Array, "batch d_model"], Float[Array, "batch text d_model"]]:
        """The embedding, of length 1, and the decoder's vectors after 0, 1, ... tokens of the text.

        Padding (token 0) does not change the embedding.
        """
        batch, length = text_tokens.shape
        start, gather = self.special_embedding(jnp.arange(2))
        before = self.text_embedding(text_tokens[:, :-1])
        x = jnp.concatenate([jnp.broadcast_to(start, (batch, 1, self.d_model)), before], axis=1)
        x = x + self.text_positions(jnp.arange(length))
        x = jnp.concatenate([x, jnp.broadcast_to(gather, (batch, 1, self.d_model))], axis=1)
        mask = _text_mask(text_tokens)
        x = self.text_decoder(_residual(x, self.dtype), {"mask": mask, "keys": keys})
        return _unit(self.text_projection(self.text_norm(x[:, -1]))), x[:, :-1]

    def caption_logits(
        self,
        read: Float[Array, "batch text d_model"],
        seen: Float[Array, "batch q d_model"],
        keys: Keys = None,
    ) -> Float[Array, "batch text vocab"]:
        """Logits of each text token after those before it, in float32."""
        length = read.shape[1]
        causal = jnp.tril(jnp.ones((1, 1, length, length), bool))
        x = self.multimodal_decoder(read, {"encoded": seen, "keys": keys}, causal)
        logits = self.logits(self.multimodal_norm(x))
        return with_logical_constraint(logits, ("batch", "length", "activation_vocab"))

    def similarity_scale(self) -> Float[Array, ""]:
        """What similarities are multiplied by in the contrastive softmax."""
        return jnp.minimum(jnp.exp(jnp.asarray(self.scale)), MAX_SCALE)


def _text_mask(text_tokens: Int[Array, "batch text"]) -> Bool[Array, "batch 1 n n"]:
    """Causal; and of the last position, which gathers the text, without padding."""
    batch, length = text_tokens.shape
    causal = jnp.tril(jnp.ones((length + 1, length + 1), bool))
    always = jnp.ones((batch, 1), bool)  # the start, and the gatherer itself
    real = jnp.concatenate([always, text_tokens[:, :-1] != 0, always], axis=1)
    gathers = (jnp.arange(length + 1) == length)[:, None]
    return (causal & (~gathers | real[:, None, :]))[:, None]


def _residual(x: Float[Array, "batch length d_model"], dtype: DTypeLike) -> jax.Array:
    return with_logical_constraint(x.astype(dtype), ("batch", "length", "activation_embed"))


def _unit(x: Float[Array, "batch d_model"]) -> Float[Array, "batch d_model"]:
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)
