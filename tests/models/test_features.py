"""Contract: a stack leaves what each of its layers gives, averaged over the positions, if asked."""

import jax
import jax.numpy as jnp
import numpy as np

from babeldraw.models.transformer import FEATURES, Stack, TransformerLayer
from babeldraw.parallel.rules import unbox
from tests.models import tiny

LAYER = TransformerLayer(d_model=8, num_heads=2, head_dim=4, mlp_dim=10, parent=None)


def first_layers(params, layers):
    return jax.tree.map(lambda leaf: leaf[:layers], params)


def test_what_each_layer_gives_is_that_of_a_stack_that_ends_there():
    x = jax.random.normal(jax.random.key(1), (3, 5, 8))
    params = unbox(Stack(LAYER, 3).init(jax.random.key(0), x, {}))["params"]

    @tiny.jit
    def run(params, x):
        y, left = Stack(LAYER, 3).apply({"params": params}, x, {}, mutable=[FEATURES])
        shorter = [
            Stack(LAYER, layers).apply({"params": first_layers(params, layers)}, x, {})
            for layers in (1, 2, 3)
        ]
        return y, left[FEATURES]["blocks"], jnp.stack(shorter)

    y, blocks, shorter = run(params, x)
    np.testing.assert_allclose(y, shorter[-1], atol=1e-5)
    np.testing.assert_allclose(blocks, shorter.mean(axis=2), atol=1e-5)


def test_nothing_is_left_where_nobody_asks():
    x = jnp.zeros((1, 5, 8))
    variables = Stack(LAYER, 2).init(jax.random.key(0), x, {})
    assert set(variables) == {"params"}
    assert Stack(LAYER, 2).apply(variables, x, {}).shape == x.shape
