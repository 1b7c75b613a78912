"""A text encoder to be pretrained, of about ten thousand weights."""

import jax.numpy as jnp

from babeldraw.models.picture_encoder import PictureEncoder, TokenPictureEncoder
from babeldraw.models.text_pretraining import TextPretraining
from tests.models import tiny

SIZE = (8, 12)
PICTURES = {
    "d_model": 24,
    "num_heads": 2,
    "mlp_dim": 24,
    "image_layers": 1,
    "dtype": jnp.float32,
}


def text_encoder(**settings):
    """The text encoder of `tiny.transformer`."""
    sizes = {name: tiny.DECODER[name] for name in ("d_model", "num_heads", "head_dim", "mlp_dim")}
    text = {"text_vocab_size": tiny.VOCAB, "text_length": tiny.TEXT, "encoder_layers": 2}
    return TextPretraining(**(sizes | text | {"dtype": jnp.float32} | settings))


def pixels(**settings):
    return PictureEncoder(
        **(PICTURES | {"image_size": SIZE, "patch_size": 4, "num_queries": 3} | settings)
    )


def tokens(**settings):
    grid = {"codebook_size": tiny.CODES, "rows": tiny.ROWS, "columns": tiny.COLUMNS}
    return TokenPictureEncoder(**(PICTURES | grid | settings))
