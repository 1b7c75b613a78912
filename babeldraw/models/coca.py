"""CoCa, the contrastive captioner (arXiv 2205.01917): how well do a picture and a text fit?

A Vision Transformer reads the picture. The first half of the text decoder reads the text alone and
ends in one vector; the second half attends to the picture as well and predicts the text. Both are
trained at once, and share all but their last layers.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from babeldraw.models.layers import Embedding, Keys, Linear, fold_keys, layer_norm
from babeldraw.models.picture_encoder import (
    PictureEncoder,
    init_scale,
    residual,
    similarity_scale,
    unit,
)
from babeldraw.models.transformer import Stack
from babeldraw.parallel.rules import with_logical_constraint
from babeldraw.ranges import Count


class CoCa(PictureEncoder, kw_only=True):  # type: ignore[call-arg]  # Flax knows it.
    """Pictures and texts -> their embeddings, and a caption of the picture.

    Its attributes are those of `PictureEncoder` and the texts':

    Attributes:
      text_length: text tokens of a batch; the embedding reads all but the last, the end id of a
        full text.
    """

    text_vocab_size: Count
    text_length: Count
    text_layers: Count
    multimodal_layers: Count

    def setup(self) -> None:
        PictureEncoder.setup(self)
        d_model, execution = self.d_model, self.execution
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
        self.scale = self.param("scale", init_scale, ())

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
        x = self.text_decoder(residual(x, self.dtype), {"mask": mask, "keys": keys})
        return unit(self.text_projection(self.text_norm(x[:, -1]))), x[:, :-1]

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
        return similarity_scale(self.scale)


def _text_mask(text_tokens: Int[Array, "batch text"]) -> Bool[Array, "batch 1 n n"]:
    """Causal; and of the last position, which gathers the text, without padding."""
    batch, length = text_tokens.shape
    causal = jnp.tril(jnp.ones((length + 1, length + 1), bool))
    always = jnp.ones((batch, 1), bool)  # the start, and the gatherer itself
    real = jnp.concatenate([always, text_tokens[:, :-1] != 0, always], axis=1)
    gathers = (jnp.arange(length + 1) == length)[:, None]
    return (causal & (~gathers | real[:, None, :]))[:, None]
