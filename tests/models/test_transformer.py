"""Contract: a decoder layer is its formula, noise included, and lies where the patent says."""

import collections
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.layers import dropout
from babeldraw.models.transformer import TransformerLayer
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import INFERENCE_RULES, TRAINING_RULES, placing, unbox
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


def params_and_inputs(batch):
    rng = np.random.default_rng(0)
    x, encoded = (jnp.asarray(rng.normal(size=(batch, n, 8)), jnp.float32) for n in (5, 4))
    inputs = {
        "encoded": encoded,
        "encoded_mask": jnp.arange(4) <= jnp.arange(batch)[:, None, None, None] % 4,
        "mask": jnp.tril(jnp.ones((5, 5), bool))[None, None],
    }
    shapes = jax.eval_shape(lambda: LAYER.init(jax.random.key(0), x, **inputs))["params"]
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), unbox(shapes)
    )
    return params, x, inputs


@pytest.mark.parametrize("with_dropout", [False, True])
def test_a_decoder_layer_is_its_formula(with_dropout):
    """Norms come first, the MLP has two matrices and a ReLU, and four places have dropout."""
    params, x, inputs = params_and_inputs(3)
    encoded, encoded_mask, mask = inputs.values()
    keys = tiny.keys(3) if with_dropout else None

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


@pytest.mark.parametrize(("rules", "output"), [(TRAINING_RULES, "model"), (INFERENCE_RULES, "")])
def test_outputs_are_split_in_training_and_whole_in_sampling(rules, output):
    """Heads and the MLP's hidden dimension are split in both."""
    params, x, inputs = params_and_inputs(8)
    with placing(make_mesh({"data": 4, "model": 2}), rules):
        lowered = jax.jit(LAYER.apply).lower({"params": params}, x, **inputs)
    constraint = re.compile(r"sdy.sharding_constraint .* <@mesh, \[(.*)\]> : tensor<8x5x(.*)xf32>")
    found = collections.Counter(constraint.findall(lowered.as_text()))
    batch, last = '{"data", "stage"}, {}', f'{{"{output}"}}' if output else "{}"
    # What both attentions and the MLP add to x, and what they read of it before it is gathered.
    residual = collections.Counter({(f"{batch}, {last}", "8"): 3 + 3})
    gathered = collections.Counter({(f"{batch}, {{}}", "8"): 3})
    inner = {
        (f'{batch}, {{"model"}}', "10"): 1,
        (f'{batch}, {{"model"}}, {{}}', "2x3"): 4,  # queries, and keys and values of x
    }
    assert found == residual + gathered + collections.Counter(inner)
