"""Contract: the kernel gives what dense attention under the same masks gives, on any mesh."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from babeldraw.models import dense_attention, splash_attention
from babeldraw.models.masks import GridMask
from babeldraw.models.splash_attention import Splash
from babeldraw.parallel.mesh import make_mesh
from babeldraw.parallel.rules import placing, training_rules
from tests.models import tiny


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    monkeypatch.setattr(splash_attention, "_INTERPRET", True)


def inputs(queries, keys, batch=2, heads=2, d=8):
    rng = np.random.default_rng(0)
    lengths = (queries, keys, keys, queries)
    return [jnp.float32(rng.normal(size=(batch, heads, length, d))) for length in lengths]


def attend(attention, mask, query, keys, values):
    if attention == "splash":
        return mask.attend(query, keys, values)
    dense = None if mask.grid is None else jnp.asarray(mask.grid.dense)
    if mask.visible is not None:
        dense = mask.visible[:, None, None]
    return dense_attention.attend(query, keys, values, dense)


@functools.partial(tiny.jit)
def splash_run(mask, *inputs):
    return run("splash", mask, *inputs)


@functools.partial(tiny.jit)
def dense_run(mask, *inputs):
    return run("dense", mask, *inputs)


def run(attention, mask, *inputs):
    """What is attended to, and its pull back."""
    *inputs, weights = inputs
    attended, pull = jax.vjp(functools.partial(attend, attention, mask), *inputs)
    return attended, pull(weights)


def check(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-5)
    for one, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "grid",
    [
        GridMask(8, 8, 3),
        GridMask(4, 36, None),  # 144: a second block, most of it padding
        GridMask(16, 16, 11),
        *(
            pytest.param(GridMask(side, side, kernel), marks=pytest.mark.slow)
            for side in (8, 16, 32)
            for kernel in (3, 11, None)
        ),
        pytest.param(GridMask(16, 16, 11, wrap=True), marks=pytest.mark.slow),
    ],
)
def test_values_and_gradients_under_the_mask_of_a_grid(grid):
    n = grid.rows * grid.columns
    arguments = Splash(grid=grid), *inputs(n, n, batch=1)
    check(splash_run(*arguments), dense_run(*arguments))


def test_values_and_gradients_over_padded_prompts():
    visible = jnp.arange(130) < jnp.asarray([130, 40, 1])[:, None]  # the last: padding alone
    arguments = Splash(visible=visible), *inputs(20, 130, batch=3, heads=1)
    found, expected = splash_run(*arguments), dense_run(*arguments)
    check(found, expected)
    assert not found[1][1][1, :, 40:].any()  # Nothing comes of what is not visible.


def test_values_and_gradients_without_a_mask():
    arguments = Splash(), *inputs(20, 20)  # padded all the same
    check(splash_run(*arguments), dense_run(*arguments))


def test_every_device_of_a_mesh_computes_its_own_part():
    grid = GridMask(4, 4, 3)
    values = inputs(16, 16, batch=4, heads=4)
    arguments = Splash(grid=grid), *values
    expected = dense_run(*arguments)
    with placing(make_mesh({"data": 2, "model": 4}), training_rules()):
        assert splash_attention.takes(4, 4)
        assert not splash_attention.takes(1, 4)  # what initialises weights
        assert not splash_attention.takes(4, 2)
        program = tiny.jit(functools.partial(run, "splash")).lower(*arguments)
        check(program.compile()(*arguments), expected)
    assert "tensor<2x1x128x8xf32>" in program.as_text()  # 2 of 4 examples, 1 of 4 heads
