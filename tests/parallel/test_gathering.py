"""Contract: under FSDP a kernel is gathered in the dtype of the product, and its gradient leaves as
a ReduceScatter in float32; the numbers are those of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models.layers import Linear
from babeldraw.parallel.gathering import placed_both_ways
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import TRAINING_RULES, placing, training_rules
from tests.models import tiny

LAYER = Linear((2, 8), ("embed",), ("heads", "head_dim"), dtype=jnp.bfloat16)
KERNEL = np.random.default_rng(0).normal(size=(16, 2, 8)).astype(np.float32)


def gradients(kernel, x):
    def loss(kernel, x):
        return jnp.sum(jnp.square(LAYER.apply({"params": {"kernel": kernel}}, x)))

    return jax.value_and_grad(loss, (0, 1))(kernel, x)


@pytest.mark.parametrize(
    ("fsdp", "rows", "scatters", "sums"),
    [(True, 8, 1, 0), (True, 3, 0, 0), ("hybrid", 8, 1, 1), ("hybrid", 4, 0, 0)],
)
def test_a_kernels_gradient_is_scattered_where_the_mesh_divides_the_rows(
    fsdp, rows, scatters, sums
):
    x = np.random.default_rng(1).normal(size=(rows, 16)).astype(np.float32)
    expected = tiny.jit(gradients)(KERNEL, x)
    with placing(make_mesh({"data": 4, "model": 2}), training_rules(fsdp)):
        # A function of its own: JAX keeps programs by function and mesh, not by rules.
        placed = lambda *inputs: gradients(*inputs)  # noqa: E731
        program = str(jax.make_jaxpr(placed)(KERNEL, x))
        found = tiny.jit(placed)(KERNEL, x)
    assert program.count("reduce_scatter[") == scatters
    # Of the copies, after it: a device's own part.
    assert program.count("psum_invariant[") == sums
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-2, atol=1e-2), found, expected
    )
    assert found[1][0].dtype == jnp.float32


def test_a_kernel_is_cast_before_it_is_gathered():
    x = np.ones((8, 16), np.float32)
    with placing(make_mesh({"data": 8}), training_rules(fsdp=True)):
        text = jax.jit(gradients).lower(KERNEL, x).as_text()
    lines = text.splitlines()
    gathered = [line for line in lines if '[{}, {"model"}, {}]> : tensor<16x2x8x' in line]
    assert len(gathered) == 2  # for the forward pass and for the backward pass
    assert all("xbf16>" in line for line in gathered)


def test_an_activation_is_placed_one_way_and_its_gradient_the_other():
    axes, whole = ("batch", "activation_embed"), ("batch", None)
    placed = lambda x: jnp.sum(placed_both_ways(x, (axes, whole), (axes,)) ** 2)  # noqa: E731
    x = np.ones((8, 16), np.float32)
    with placing(make_mesh({"data": 4, "model": 2}), TRAINING_RULES):
        text = jax.jit(jax.grad(placed)).lower(x).as_text()
    assert text.count('[{"data", "stage"}, {"model"}]') == 2
    assert text.count('[{"data", "stage"}, {}]') == 1
    assert str(jax.make_jaxpr(placed)(x)).count("custom_vjp") == 0  # without a mesh, nothing
