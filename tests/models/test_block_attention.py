"""Contract: blocks of the grid give what dense attention under the same mask gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.block_attention import Blocks, make_blocks
from babeldraw.models.masks import GridMask
from tests.models import tiny


def dense(blocks, query, keys, values):
    grid = blocks.rows, blocks.columns, blocks.kernel_size
    mask = GridMask(*grid, opens_first=blocks.opens_first).dense
    scores = jnp.where(mask, query @ keys.swapaxes(2, 3), jnp.finfo(jnp.float32).min)
    return jax.nn.softmax(scores, axis=-1) @ values


@pytest.mark.parametrize(
    "blocks",
    [
        Blocks(8, 8, 3, 4, 8),  # whole rows
        Blocks(12, 6, 9, 2, 3),  # windows over several blocks and parts of them
        Blocks(7, 4, 11, 7, 2),  # a window wider than the grid
        make_blocks(1, 6, 3),
        make_blocks(8, 16, 3),
        Blocks(12, 6, 9, 2, 3, opens_first=True),
        pytest.param(make_blocks(16, 16, 11), marks=pytest.mark.slow),
    ],
)
def test_values_and_gradients_are_those_of_dense_attention(blocks):
    rng = np.random.default_rng(0)
    shape = (4, 2, 3, blocks.rows * blocks.columns, 5)
    *inputs, weights = (jnp.float32(part) for part in rng.normal(size=shape))

    def both(attend):
        def run(*inputs):
            gradients = jax.grad(lambda *inputs: jnp.sum(weights * attend(*inputs)), (0, 1, 2))
            return attend(*inputs), gradients(*inputs)

        return tiny.jit(run)(*inputs)

    found, expected = both(blocks.attend), both(lambda *inputs: dense(blocks, *inputs))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=5e-6)


def test_scores_grow_with_the_tokens_and_not_with_their_square():
    scores = {side: make_blocks(side, side, 7).mask.size for side in (16, 32, 64)}
    assert scores[64] == 4 * scores[32]
    assert scores[16] < 0.5 * 256**2
    assert scores[32] < 0.2 * 1024**2
