"""A contrastive captioner of about ten thousand weights."""

import jax
import jax.numpy as jnp
import numpy as np

from babeldraw.models.coca import CoCa
from babeldraw.parallel.rules import unbox
from babeldraw.sizes import height_and_width
from tests.models import tiny

SIZE = (8, 12)


def coca(**settings):
    defaults = {
        "image_size": SIZE,
        "patch_size": 4,
        "text_vocab_size": tiny.VOCAB,
        "text_length": tiny.TEXT,
        "d_model": 16,
        "num_heads": 2,
        "mlp_dim": 24,
        "image_layers": 1,
        "text_layers": 1,
        "multimodal_layers": 1,
        "num_queries": 3,
        "dtype": jnp.float32,
    }
    return CoCa(**(defaults | settings))


def random_params(model, seed=0, scale=0.4):
    """Normal noise in every weight, as `tiny.random_params`."""
    images = jnp.zeros((1, *height_and_width(model.image_size), 3))
    text = jnp.zeros((1, model.text_length), jnp.int32)
    boxed = jax.eval_shape(model.init, jax.random.key(0), images, text)["params"]
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        return jnp.asarray(1 + 0.1 * noise if path[-1].key == "scale" else scale * noise)

    return jax.tree_util.tree_map_with_path(draw, unbox(boxed))
