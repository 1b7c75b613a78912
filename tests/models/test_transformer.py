"""Contract: a decoder layer is its formula, noise included."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.layers import dropout
from babeldraw.models.transformer import TransformerLayer
from babeldraw.parallel.rules import unbox
from tests.models import tiny

RATE = 0.3
LAYER = TransformerLayer(
    d_model=8, num_heads=2, head_dim=3, mlp_dim=10, with_cross_attention=True, dropout_rate=RATE
)


def norm(params, x):
    x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * params["scale"] + params["bias"]


def attend(params, x, y, mask):
    """From `x` to `y`; the kernels are [d_model, heads, head_dim] and back."""
    query, key, value = (
        jnp.einsum("bnd,dhe->bhne", of, params[name]["kernel"])
        for name, of in (("query", x), ("key", y), ("value", y))
    )
    scores = jnp.einsum("bhne,bhme->bhnm", query, key) / np.sqrt(LAYER.head_dim)
    weights = jax.nn.softmax(jnp.where(mask, scores, -1e30))
    heads = jnp.einsum("bhnm,bhme->bnhe", weights, value)
    return jnp.einsum("bnhe,hed->bnd", heads, params["output"]["kernel"])


@pytest.mark.parametrize("with_dropout", [False, True])
def test_a_decoder_layer_is_its_formula(with_dropout):
    """Norms come first, the MLP has two matrices and a ReLU, and four places have dropout."""
    rng = np.random.default_rng(0)
    x, encoded = (jnp.asarray(rng.normal(size=(2, n, 8)), jnp.float32) for n in (5, 4))
    mask = jnp.tril(jnp.ones((5, 5), bool))[None, None]
    encoded_mask = jnp.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)[:, None, None]
    inputs = {"mask": mask, "encoded": encoded, "encoded_mask": encoded_mask}
    shapes = jax.eval_shape(lambda: LAYER.init(jax.random.key(0), x, **inputs))["params"]
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), unbox(shapes)
    )
    keys = tiny.keys(2) if with_dropout else None

    def by_hand(params, x):
        def drop(x, site):
            return dropout(x, RATE, keys, site)

        y = norm(params["self_attention_norm"], x)
        x = x + drop(attend(params["self_attention"], y, y, mask), 0)
        y = norm(params["cross_attention_norm"], x)
        x = x + drop(attend(params["cross_attention"], y, encoded, encoded_mask), 1)
        y = norm(params["mlp_norm"], x) @ params["mlp"]["wi"]["kernel"]
        return x + drop(drop(jnp.maximum(y, 0), 2) @ params["mlp"]["wo"]["kernel"], 3)

    @tiny.jit
    def both(params, x):
        return LAYER.apply({"params": params}, x, **inputs, keys=keys), by_hand(params, x)

    found, expected = both(params, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
