"""Networks of about ten thousand weights, which no initialiser had a hand in."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from babeldraw.models.encoder_decoder import EncoderDecoder, example_keys
from babeldraw.models.image_decoder import ImageDecoder
from babeldraw.models.vit_vqgan import ViTVQGAN
from babeldraw.parallel.rules import unbox
from babeldraw.sizes import height_and_width
from tests import quick

VOCAB, CODES, TEXT, CLASSES = 20, 13, 6, 3
ROWS, COLUMNS = 4, 5
HEIGHT, WIDTH = 16, 20
CONVENTIONS = ("raster", "row_start", "row_start_above")
DECODER = {
    "codebook_size": CODES,
    "rows": ROWS,
    "columns": COLUMNS,
    "d_model": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "decoder_layers": 2,
    "dtype": jnp.float32,
}


def transformer(**settings):
    """Grid of 4 rows and 5 columns, so that rows and columns cannot be mistaken for each other."""
    text = {"text_vocab_size": VOCAB, "text_length": TEXT, "encoder_layers": 2}
    return EncoderDecoder(**(DECODER | text | {"attention_kernel": 3} | settings))


def image_decoder(**settings):
    """The decoder of `transformer` alone, with classes and full attention."""
    return ImageDecoder(**(DECODER | {"num_classes": CLASSES} | settings))


def tokenizer(**settings):
    """Patches of 4 px: the grid of `transformer`."""
    defaults = {
        "image_size": (HEIGHT, WIDTH),
        "patch_size": 4,
        "codebook_size": CODES,
        "code_dim": 4,
        "dtype": jnp.float32,
    }
    for side in ("encoder", "decoder"):
        defaults |= {
            f"{side}_layers": 1,
            f"{side}_heads": 2,
            f"{side}_width": 16,
            f"{side}_mlp_dim": 24,
        }
    return ViTVQGAN(**(defaults | settings))


def inputs(model):
    """What `model` is initialised with."""
    if isinstance(model, ViTVQGAN):
        return (jnp.zeros((1, *height_and_width(model.image_size), 3)),)
    tokens = jnp.zeros((1, model.num_tokens), jnp.int32)
    if not isinstance(model, EncoderDecoder):
        return (tokens,)
    return jnp.zeros((1, model.text_length), jnp.int32), tokens


def random_params(model, seed=0, scale=0.4):
    """Normal noise in every weight: nothing is zero, so that no path through the model is closed.

    Its deviation is `scale`; the scales of layer norms are near 1 in its place.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        name = path[-1].key
        return jnp.asarray(1 + 0.1 * noise if name == "scale" else scale * noise)

    return jax.tree_util.tree_map_with_path(draw, _shapes(model))


@functools.cache
def _shapes(model):
    """Of its weights: what initialises them is traced once a model."""
    return unbox(jax.eval_shape(model.init, jax.random.key(0), *inputs(model))["params"])


def prompts(count, seed=0, length=TEXT):
    """Prompts of random lengths, each closed by EOS (1) and padded with 0."""
    rng = np.random.default_rng(seed)
    text = rng.integers(2, VOCAB, size=(count, length))
    ends = rng.integers(1, length, size=count)
    text[np.arange(count), ends] = 1
    text[np.arange(length)[None] > ends[:, None]] = 0
    return jnp.asarray(text, jnp.int32)


def classes(count, seed=0):
    """Numbers of classes, one a picture."""
    return jnp.asarray(np.random.default_rng(seed).integers(0, CLASSES, size=count), jnp.int32)


def pictures_tokens(count, model, seed=0):
    rng = np.random.default_rng(seed)
    shape = (count, model.num_tokens)
    return jnp.asarray(rng.integers(0, model.codebook_size, size=shape), jnp.int32)


def images(count, size=(HEIGHT, WIDTH), seed=0):
    """uint8 noise, so that patches differ from each other."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(count, *height_and_width(size), 3), dtype=np.uint8)


def jit(function):
    """`jax.jit` compiled in a quarter of the time, which is most of the time that tests take."""
    return jax.jit(function, compiler_options=quick.OPTIONS)


def keys(count, seed=0):
    return example_keys(jax.random.key(seed), count)
