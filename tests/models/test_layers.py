import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.layers import (
    Attention,
    GridPositions,
    Linear,
    dropout,
    fold_keys,
    layer_norm,
)
from babeldraw.parallel.rules import unbox
from tests.models import tiny


def test_dropout_keeps_the_mean_and_drops_at_its_rate():
    x = jnp.full((4, 200, 50), 2.0)
    y = dropout(x, 0.25, tiny.keys(4), site=0)
    # 40,000 draws: five standard deviations are 0.011 of the share, 0.029 of the mean.
    assert float(jnp.mean(y == 0)) == pytest.approx(0.25, abs=0.011)
    assert float(jnp.mean(y)) == pytest.approx(2.0, abs=0.03)
    np.testing.assert_allclose(np.unique(y), [0, 2 / 0.75], rtol=1e-6)


def test_dropout_differs_by_site_layer_and_example():
    x = jnp.ones((2, 100))
    keys = tiny.keys(2)
    here = dropout(x, 0.5, keys, site=0)
    assert (here[0] != here[1]).any()
    assert (here != dropout(x, 0.5, keys, site=1)).any()
    assert (here != dropout(x, 0.5, fold_keys(keys, 1), site=0)).any()
    np.testing.assert_array_equal(here, dropout(x, 0.5, keys, site=0))


def test_no_keys_or_no_rate_is_no_dropout():
    x = jnp.ones((2, 3))
    assert dropout(x, 0.5, None, site=0) is x
    assert dropout(x, 0.0, tiny.keys(2), site=0) is x
    assert fold_keys(None, 3) is None


def test_linear_contracts_its_last_dimensions():
    layer = Linear((2, 3), ("heads", "head_dim"), ("embed", "mlp"), use_bias=True)
    x = np.random.default_rng(1).normal(size=(5, 7, 4, 6)).astype(np.float32)
    params = unbox(tiny.jit(layer.init)(jax.random.key(0), x)["params"])
    assert params["kernel"].shape == (4, 6, 2, 3)
    params["bias"] = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = np.einsum("abij,ijkl->abkl", x, params["kernel"]) + params["bias"]
    found = tiny.jit(layer.apply)({"params": params}, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_normed_queries_and_keys_are_their_formula():
    """Layer norm of each head's query and key, without a bias, before they are multiplied."""
    layer = Attention(num_heads=2, head_dim=3, d_model=4, qk_norm=True)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1, 5, 4)).astype(np.float32)

    def attend(layer, x):
        return layer(x, *layer.keys_values(x))

    shapes = unbox(jax.eval_shape(nn.init(attend, layer), jax.random.key(0), x)["params"])
    params = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), shapes)
    assert params["query_norm"].keys() == params["key_norm"].keys() == {"scale"}
    query, key, value = (
        np.einsum("ble,ehd->bhld", x, params[name]["kernel"]) for name in ("query", "key", "value")
    )

    def normed(y, name):
        y = y - y.mean(-1, keepdims=True)
        return y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-6) * params[name]["scale"]

    scores = normed(query, "query_norm") @ normed(key, "key_norm").swapaxes(2, 3) / np.sqrt(3)
    expected = np.einsum(
        "bhld,hde->ble", jax.nn.softmax(scores, axis=-1) @ value, params["output"]["kernel"]
    )
    found = tiny.jit(nn.apply(attend, layer))({"params": params}, x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_grid_positions_are_row_plus_column():
    layer = GridPositions(2, 3, 4)
    positions = jnp.asarray(np.arange(6))
    params = unbox(tiny.jit(layer.init)(jax.random.key(0), positions)["params"])
    row, column = (np.asarray(params[axis]["table"]) for axis in ("row", "column"))
    out = tiny.jit(layer.apply)({"params": params}, positions)
    expected = (row[:, None] + column[None]).reshape(6, 4)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_a_layer_norm_of_bfloat16_is_not_rounded_to_it():
    x = jax.random.normal(jax.random.key(0), (3, 16), jnp.bfloat16)
    y, _ = layer_norm().init_with_output(jax.random.key(1), x)
    exact = np.asarray(x, np.float64)
    exact = exact - exact.mean(-1, keepdims=True)
    expected = exact / np.sqrt(np.square(exact).mean(-1, keepdims=True) + 1e-6)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_attention_is_its_formula():
    layer = Attention(num_heads=2, head_dim=3, d_model=4, use_bias=True)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1, 5, 4)), rng.normal(size=(1, 6, 4))
    mask = rng.random((5, 6)) < 0.5
    mask[:, 0] = True

    def run(module, x, y, mask):
        return module(x, *module.keys_values(y), mask)

    inputs = jnp.float32(x), jnp.float32(y), jnp.asarray(mask)[None, None]
    boxed = jax.eval_shape(lambda: layer.init(jax.random.key(0), *inputs, method=run)["params"])
    params = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), unbox(boxed)
    )
    found = tiny.jit(functools.partial(layer.apply, method=run))({"params": params}, *inputs)

    def project(name, x):
        weights = {k: np.asarray(v, np.float64) for k, v in params[name].items()}
        return np.einsum("nd,dhe->hne", x[0], weights["kernel"]) + weights["bias"][:, None]

    q, k, v = project("query", x), project("key", y), project("value", y)
    scores = np.where(mask, q @ k.transpose(0, 2, 1) / np.sqrt(3), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    heads = weights @ v
    output = params["output"]
    expected = np.einsum("hne,hed->nd", heads, output["kernel"]) + output["bias"]
    np.testing.assert_allclose(found[0], expected, atol=1e-4)
