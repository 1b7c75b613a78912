"""What the backward pass keeps of a layer under each setting, as a number."""

import functools
import math

import jax
import jax.numpy as jnp
import pytest

from babeldraw.models.transformer import Stack, TransformerLayer
from babeldraw.parallel.execution import Execution
from babeldraw.parallel.rules import unbox

LAYERS, BATCH, LENGTH, TEXT, WIDTH, MLP = 3, 5, 4, 3, 16, 48
LEADING = (BATCH, BATCH * LENGTH, BATCH * TEXT)  # No weight begins with one of them.
INPUT = BATCH * LENGTH * WIDTH * 2  # bytes of bfloat16


@functools.cache
def stack_and_arguments(with_cross_attention):
    layer = TransformerLayer(
        d_model=WIDTH,
        num_heads=2,
        head_dim=WIDTH // 2,
        mlp_dim=MLP,
        with_cross_attention=with_cross_attention,
        dtype=jnp.bfloat16,
        parent=None,
    )
    stack = Stack(layer, LAYERS)
    x = jax.ShapeDtypeStruct((BATCH, LENGTH, WIDTH), jnp.bfloat16)
    text = {"encoded": jax.ShapeDtypeStruct((BATCH, TEXT, WIDTH), jnp.bfloat16)}
    shared = text if with_cross_attention else {}
    return stack, (jax.eval_shape(stack.init, jax.random.key(0), x, shared), x, shared)


def kept(remat, with_cross_attention):
    """Bytes of activations that are kept of each layer, its input being 1."""
    stack, arguments = stack_and_arguments(with_cross_attention)
    stack = stack.clone(execution=Execution(remat=remat))

    def backward(boxes, x, shared):
        return jax.vjp(lambda params, x: stack.apply(params, x, shared), unbox(boxes), x)[1]

    leaves = jax.tree.leaves(jax.eval_shape(backward, *arguments))
    stacked = [leaf for leaf in leaves if leaf.shape[0] == LAYERS and leaf.shape[1] in LEADING]
    return sum(math.prod(leaf.shape[1:]) * leaf.dtype.itemsize for leaf in stacked) / INPUT


@pytest.mark.parametrize(
    ("remat", "encoder", "decoder"),
    [
        # Everything: scores and weights of attention, norms in float32.
        ("none", 27.5, 40.125),
        ("full", 1, 1),
        ("attention", 2, 2),
        # Query, key, value, output, and the hidden layer, which is 3 times as wide. In a decoder
        # cross-attention's as well, with keys and values of a text 3/4 as long.
        ("dots", 1 + 4 + 3, 1 + 4 + 2 * (1 + 3 / 4) + 3),
    ],
)
def test_what_is_kept_of_a_layer(remat, encoder, decoder):
    assert kept(remat, with_cross_attention=False) == encoder
    assert kept(remat, with_cross_attention=True) == decoder
