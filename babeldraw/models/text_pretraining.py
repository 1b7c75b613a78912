"""What a text encoder is pretrained with: it fills in hidden tokens, and finds its picture.

What is hidden, and by what, is the objective's affair (`objectives/masking.py`).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from babeldraw.models.layers import Embedding, Keys, Linear, layer_norm
from babeldraw.models.picture_encoder import (
    PictureEncoder,
    TokenPictureEncoder,
    init_scale,
    similarity_scale,
    unit,
)
from babeldraw.models.text_encoder import TextEncoder, readable
from babeldraw.parallel.rules import with_logical_constraint


class TextPretraining(TextEncoder, kw_only=True):  # type: ignore[call-arg]  # Flax knows it.
    """A text encoder with a head for each task. Stage 2 takes the encoder, and no head.

    Attributes:
      masked: whether there is a head that says what stood where a token is hidden; objectives
        leave it out where nothing is.
      pictures: reads the pictures that texts are compared with; None: there are none. As wide as
        the text encoder, or not.
    """

    masked: bool = True
    pictures: PictureEncoder | TokenPictureEncoder | None = None

    def setup(self) -> None:
        TextEncoder.setup(self)
        if self.masked:
            # In the place of a hidden token's row: no piece of the vocabulary is spent on it.
            self.mask_embedding = Embedding(1, self.d_model, "rows")
            # BERT's head (arXiv 1810.04805): a layer, then the rows of the embedding as weights.
            self.masked_layer = Linear((self.d_model,), ("embed",), (None,), dtype=jnp.float32)
            self.masked_norm = layer_norm()
            self.masked_bias = self.param(
                "masked_bias",
                nn.with_logical_partitioning(nn.initializers.zeros, ("rows",)),
                (self.text_vocab_size,),
            )
        if self.pictures is not None:
            width = self.pictures.d_model
            self.text_projection = Linear((width,), ("embed",), (None,), dtype=jnp.float32)
            self.scale = self.param("scale", init_scale, ())

    def __call__(
        self,
        masked_tokens: Int[Array, "batch text"],
        hidden: Bool[Array, "batch text"],
        text_tokens: Int[Array, "batch text"],
        pictures: Array | None,
    ) -> None:
        """Visits every parameter, to initialise them."""
        if self.masked:
            self.masked_logits(masked_tokens, hidden)
        if pictures is not None:
            self.encode_text(text_tokens)
            self.encode_image(pictures)
        self.encode(text_tokens)

    def masked_logits(
        self,
        text_tokens: Int[Array, "batch text"],
        hidden: Bool[Array, "batch text"],
        keys: Keys = None,
    ) -> Float[Array, "batch text vocab"]:
        """Of what stands at each position, in float32; where `hidden`, the token is not told."""
        x = jnp.where(
            hidden[..., None],
            self.mask_embedding(jnp.zeros_like(text_tokens)),
            self.text_embedding(text_tokens),
        )
        x = self._read(x, readable(text_tokens), keys)
        x = self.masked_norm(nn.gelu(self.masked_layer(x)))
        table = jnp.asarray(self.text_embedding.table)
        # Scaled, as T5 scales where the table is the embedding's: its entries are not small.
        logits = (x * self.d_model**-0.5) @ table.T + jnp.asarray(self.masked_bias)
        return with_logical_constraint(logits, ("batch", "length", "activation_vocab"))

    def encode_text(
        self, text_tokens: Int[Array, "batch text"], keys: Keys = None
    ) -> Float[Array, "batch width"]:
        """The text's embedding, of length 1: the mean of its tokens' vectors, projected.

        The mean was the best of what Sentence-T5 tried of encoders (arXiv 2108.08877). Padding
        does not count.
        """
        encoded, _ = self.encode(text_tokens, keys)
        real = (text_tokens != 0)[..., None]
        total = jnp.sum(encoded.astype(jnp.float32) * real, axis=1)
        mean = total / jnp.maximum(jnp.sum(real, axis=1), 1)
        return unit(self.text_projection(mean))

    def encode_image(self, pictures: Array, keys: Keys = None) -> Float[Array, "batch width"]:
        """The picture's embedding, of length 1; see `pictures` for what is taken."""
        assert self.pictures is not None  # Only then it is called.
        of_image: jax.Array = self.pictures.encode_image(pictures, keys)[0]
        return of_image

    def similarity_scale(self) -> Float[Array, ""]:
        """What similarities are multiplied by in the contrastive softmax."""
        return similarity_scale(self.scale)
